//! The developer's tools of the `trestle` program: `demo`, `meta-sim`, `load` and `sdp lint`. The daemon needs none of them.

pub mod demo;
pub mod doctor;
pub mod load;
pub mod meta_sim;
