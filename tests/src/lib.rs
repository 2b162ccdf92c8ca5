//! Bodies of the fuzz targets, and what several test targets of this package share. The simulated world is in `tests/world`.

pub mod bencode;
pub mod fuzz;
pub mod line;
pub mod running;
