//! Nothing: what is measured, and how, stands in `benches/`.
