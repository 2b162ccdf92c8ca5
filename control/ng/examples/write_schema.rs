//! Brings the lists of flags up to date in ng.schema.json, docs/FLAGS.md and both clients' types:
//! `cargo run --example write_schema`.

use std::path::Path;
use std::process::Command;
use std::{fs, io};

use trestle_ng::command::published;

fn main() -> io::Result<()> {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    rewrite(&crate_folder.join("schema/ng.schema.json"), published::schema)?;
    rewrite(&crate_folder.join("../../docs/FLAGS.md"), published::flags_document)?;
    let status = Command::new("python3").arg(crate_folder.join("schema/write_types.py")).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("schema/write_types.py failed")) }
}

fn rewrite(path: &Path, update: impl FnOnce(&str) -> Result<String, String>) -> io::Result<()> {
    let text = fs::read_to_string(path)?;
    fs::write(path, update(&text).map_err(io::Error::other)?)
}
