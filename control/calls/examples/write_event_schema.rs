//! Writes `control/ng/schema/events.schema.json` from the table of events, and the clients' types from the schemas.

use std::path::Path;
use std::process::Command;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ng/schema");
    std::fs::write(schemas.join("events.schema.json"), trestle_calls::event_schema::event_schema())?;
    let status = Command::new("python3").arg(schemas.join("write_types.py")).status()?;
    if !status.success() {
        return Err("write_types.py failed".into());
    }
    Ok(())
}
