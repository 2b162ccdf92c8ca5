//! What the packet path costs in instructions, counted by callgrind, beside what it cost when `bench/instructions.json` was
//! written. Times are noise on a shared machine; a count is the same each time.
//!
//! ```text
//! instructions                 counts every case, and fails if one has grown by more than 5 %
//! instructions --accept        writes the new counts
//! instructions --only WORD     the cases with WORD in their name, and nothing is compared that was not counted
//! ```
//!
//! Each case runs in a process of its own, this program under valgrind, and is counted only inside of `cases::counted`: set-up
//! does not count. Two figures are kept for each: our own code with what it calls of Rust's and C's standard libraries, and
//! libopus and AWS-LC, which choose their code by the processor (valgrind shows them one without SHA and AVX-512, so that the
//! choice is the same wherever there is AVX2).

mod callgrind;
mod cases;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (accept, only) = match words.as_slice() {
        [] => (false, None),
        ["--accept"] => (true, None),
        ["--only", word] => (false, Some(*word)),
        ["--run", name] => {
            // In the process that is counted. The parent reads how many packets it was.
            println!("{}", cases::run(name).context("no such case")?);
            return Ok(ExitCode::SUCCESS);
        }
        _ => bail!("usage: instructions [--accept | --only WORD]"),
    };
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("instructions.json");
    // What is to be replaced need not be readable.
    let known = if accept { table::Table::new() } else { table::read(&file)? };
    let mut counted = table::Table::new();
    let mut has_failed = false;
    println!("{:<42} {:>9} {:>9} {:>9} {:>9}      heap", "instructions per packet", "ours", "", "libraries", "");
    for name in cases::names().filter(|name| only.is_none_or(|word| name.contains(word))) {
        let count = callgrind::count(&name)?;
        let before = known.get(&name);
        let (ours, libraries) = (before.map(|count| count.ours), before.map(|count| count.libraries));
        let verdict = if accept { None } else { table::judge(before, &count) };
        println!(
            "{name:<42} {:>9} {:>9} {:>9} {:>9} {:>8}  {}",
            count.ours,
            table::change(ours, count.ours),
            count.libraries,
            table::change(libraries, count.libraries),
            count.heap,
            verdict.unwrap_or_default(),
        );
        has_failed |= verdict.is_some();
        counted.insert(name, count);
    }
    if accept {
        table::write(&file, &counted)?;
        println!("written to {}", file.display());
        return Ok(ExitCode::SUCCESS);
    }
    if has_failed {
        println!(
            "\nMore than 5 % over bench/instructions.json. If it is worth it: .ci/instructions --accept, and say why."
        );
    }
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
