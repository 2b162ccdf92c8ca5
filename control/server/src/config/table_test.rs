//! Compares the table in `docs/SETTINGS.md` with the rows of [`Settings`].

use clap::{Arg, ArgAction, Args, Command};

use super::Settings;
use super::reload::RUN_TIME_KEYS;
use super::sources::variable;

const DOCUMENT: &str = include_str!("../../../../docs/SETTINGS.md");

fn line(row: &Arg) -> String {
    let key = row.get_long().unwrap();
    let values: String = row.get_value_names().unwrap().iter().map(ToString::to_string).collect();
    let several = if matches!(row.get_action(), ArgAction::Append) { ", several" } else { "" };
    let default = match row.get_default_values() {
        [] => "-".to_owned(),
        values => values.iter().map(|value| format!("`{}`", value.to_str().unwrap())).collect(),
    };
    // The short form of the help ends at the first empty line and has no final stop.
    let help = row.get_help().unwrap().to_string();
    let values = values.replace('|', "\\|");
    let reload = if RUN_TIME_KEYS.contains(&key) { "yes" } else { "" };
    format!("| `{key}` | `{}` | `{values}`{several} | {default} | {reload} | {help} |", variable(key))
}

#[test]
fn the_table_in_the_documentation_is_that_of_the_program() {
    let command = Settings::augment_args(Command::new("serve"));
    let mut wanted = String::new();
    let mut group = None;
    for row in command.get_arguments() {
        if group != Some(row.get_help_heading().unwrap()) {
            group = row.get_help_heading();
            wanted += &format!(
                "\n### {}\n\n| key, and flag with `--` | variable | value | default | SIGHUP | meaning |\n|---|---|---|---|---|---|\n",
                group.unwrap()
            );
        }
        wanted += &line(row);
        wanted.push('\n');
    }
    let known = |key: &&str| command.get_arguments().any(|row| row.get_long() == Some(key));
    assert_eq!(RUN_TIME_KEYS.iter().find(|key| !known(key)), None);
    assert!(DOCUMENT.contains(&wanted), "docs/SETTINGS.md must contain:\n{wanted}");
}
