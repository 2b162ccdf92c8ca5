//! Where values are written, and which one wins: the default, then the TOML file, then the environment, then the command line.
//!
//! Every source is brought to the form of the command line, so that one parser, made from the rows of
//! [`Settings`], reads, checks and merges all of them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::reload::WrittenValues;
use super::{Config, ConfigError, Settings};

const VARIABLE_PREFIX: &str = "TRESTLE_";

/// Read by clients of Trestle in docs/recipes, which may share an environment with it.
const CLIENT_VARIABLES: [&str; 1] = ["TRESTLE_NG"];

/// Read by the heartbeats of a debug build: a fault on purpose, for tests.
const FAULT_VARIABLE: &str = "TRESTLE_FAULT";

const CONFIG: &str = "config";

/// Where a value is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingSource {
    /// The key, in this file.
    File(PathBuf),
    /// The environment variable of this name.
    Variable(String),
    /// The flag, on the command line.
    Flag,
}

impl fmt::Display for SettingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "in {}", path.display()),
            Self::Variable(name) => write!(f, "from the variable {name}"),
            Self::Flag => f.write_str("on the command line"),
        }
    }
}

/// A key, where it is written, and its values: exactly one, unless the key is repeatable.
#[derive(Clone, PartialEq, Eq)]
struct SettingEntry {
    source: SettingSource,
    values: Vec<String>,
}

/// The options of `trestle serve` as written on the command line, before they are merged with those of other sources.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ServeArgs {
    config: Option<PathBuf>,
    flags: BTreeMap<String, Vec<String>>,
}

impl fmt::Debug for ServeArgs {
    /// Without values: a secret may be among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeArgs").field(CONFIG, &self.config).finish_non_exhaustive()
    }
}

impl Args for ServeArgs {
    fn augment_args(command: Command) -> Command {
        // Checked when all sources are merged, so that every error has the same form.
        let config = Arg::new(CONFIG)
            .long(CONFIG)
            .visible_alias("config-file")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help(
                "TOML file with the same names as the flags. A flag wins over the environment variable TRESTLE_NAME \
                 (`--port-min` is TRESTLE_PORT_MIN), and that over the file",
            );
        let command = command.arg(config);
        Settings::augment_args(command)
            .mut_args(|arg| if arg.get_id() == CONFIG { arg } else { arg.value_parser(clap::value_parser!(String)) })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = BTreeMap::new();
        for id in matches.ids().filter(|id| *id != CONFIG) {
            if matches.value_source(id.as_str()) == Some(clap::parser::ValueSource::CommandLine)
                && let Ok(Some(values)) = matches.try_get_many::<String>(id.as_str())
            {
                flags.insert(id.as_str().replace('_', "-"), values.cloned().collect());
            }
        }
        Ok(Self { config: matches.get_one(CONFIG).cloned(), flags })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl ServeArgs {
    /// Merges the command line with the environment of this process and with the file, if one is named, and checks the result.
    ///
    /// # Errors
    /// [`ConfigError`] for the first key that is unknown or has a value that cannot be used.
    pub fn load(self) -> Result<Config, ConfigError> {
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with(VARIABLE_PREFIX))?;
            Some((name, value.to_string_lossy().into_owned()))
        });
        self.load_with(variables)
    }

    /// As [`load`](Self::load), with these environment variables. One that is empty counts as not set.
    pub(super) fn load_with(
        self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        let parser = Parser::new();
        let mut file = self.config;
        let mut from_environment = Vec::new();
        for (name, value) in variables {
            let Some(rest) = name.strip_prefix(VARIABLE_PREFIX) else { continue };
            if value.is_empty() || is_foreign(&name) {
                continue;
            }
            let key = rest.to_ascii_lowercase().replace('_', "-");
            if key == CONFIG {
                file = file.or(Some(PathBuf::from(value)));
            } else if parser.knows(&key) {
                from_environment
                    .push((key, SettingEntry { source: SettingSource::Variable(name), values: vec![value] }));
            } else {
                let nearest = parser.nearest(&key).map(|key| variable(&key));
                return Err(ConfigError::UnknownVariable { name, nearest });
            }
        }
        let mut entries = match &file {
            Some(path) => parser.read(path)?,
            None => BTreeMap::new(),
        };
        entries.extend(from_environment);
        entries.extend(
            self.flags.into_iter().map(|(key, values)| (key, SettingEntry { source: SettingSource::Flag, values })),
        );
        let settings = parser.settings(&mut entries)?;
        let mut config = Config::new(settings).map_err(|error| match error {
            ConfigError::Value { key, reason, .. } => {
                let from = entries.get(&key).map(|entry| entry.source.clone());
                ConfigError::Value { key, reason, from }
            }
            other => other,
        })?;
        config.written = WrittenValues(entries.into_iter().map(|(key, entry)| (key, entry.values)).collect());
        Ok(config)
    }
}

/// The name of the environment variable of `key`.
pub(super) fn variable(key: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", key.to_ascii_uppercase().replace('-', "_"))
}

/// True for variables that are not meant for `trestle serve`: those of clients, and those that Kubernetes sets in each
/// container for a service of the name `trestle` (`TRESTLE_SERVICE_HOST`, `TRESTLE_PORT`, `TRESTLE_PORT_2223_UDP_ADDR`).
fn is_foreign(name: &str) -> bool {
    let rest = name.strip_prefix(VARIABLE_PREFIX).unwrap_or(name);
    let port = rest.strip_prefix("PORT_").is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
    let is_fault = cfg!(debug_assertions) && name == FAULT_VARIABLE;
    is_fault || CLIENT_VARIABLES.contains(&name) || rest == "PORT" || rest.starts_with("SERVICE_") || port
}

/// The parser made from the rows of [`Settings`].
struct Parser(Command);

impl Parser {
    fn new() -> Self {
        Self(Settings::augment_args(Command::new("serve").no_binary_name(true).disable_help_flag(true)))
    }

    fn row(&self, key: &str) -> Option<&Arg> {
        self.0.get_arguments().find(|row| row.get_long() == Some(key))
    }

    fn knows(&self, key: &str) -> bool {
        self.row(key).is_some()
    }

    /// The known key with the most similar name, if one is similar enough.
    fn nearest(&self, key: &str) -> Option<String> {
        let error = self.0.clone().try_get_matches_from([format!("--{key}")]).err()?;
        match error.get(ContextKind::SuggestedArg)? {
            ContextValue::String(flag) => flag.strip_prefix("--").map(str::to_owned),
            _ => None,
        }
    }

    /// The entries of a TOML file.
    fn read(&self, path: &Path) -> Result<BTreeMap<String, SettingEntry>, ConfigError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::Unreadable { path: shown.clone(), reason: error.to_string() })?;
        self.read_text(path, &text)
    }

    fn read_text(&self, path: &Path, text: &str) -> Result<BTreeMap<String, SettingEntry>, ConfigError> {
        let shown = || path.display().to_string();
        let table: toml::Table = toml::from_str(text).map_err(|error| {
            let reason = error.to_string().trim_end().to_owned();
            ConfigError::Syntax { path: shown(), reason }
        })?;
        let mut entries = BTreeMap::new();
        for (key, value) in table {
            if !self.knows(&key) {
                let nearest = self.nearest(&key);
                return Err(ConfigError::UnknownKey { path: shown(), key, nearest });
            }
            let source = SettingSource::File(path.to_owned());
            let values = match value {
                toml::Value::Array(values) => values.iter().map(scalar).collect(),
                value => scalar(&value).map(|text| vec![text]),
            };
            let Some(values) = values else {
                let reason = "is neither a text, a number nor a list of these".to_owned();
                return Err(ConfigError::Value { key, reason, from: Some(source) });
            };
            entries.insert(key, SettingEntry { source, values });
        }
        Ok(entries)
    }

    /// Checks each entry alone, so that an error is known to be of its source, and then reads all of them.
    fn settings(&self, entries: &mut BTreeMap<String, SettingEntry>) -> Result<Settings, ConfigError> {
        let mut all = Vec::new();
        for (key, entry) in entries {
            let wrong = |reason| ConfigError::Value { key: key.clone(), reason, from: Some(entry.source.clone()) };
            let repeatable = self.row(key).is_some_and(|row| matches!(row.get_action(), ArgAction::Append));
            if repeatable {
                // Several in one value are separated by `;`, as in rtpengine's file.
                let parts = entry.values.iter().flat_map(|value| value.split(';')).map(str::trim);
                entry.values = parts.filter(|part| !part.is_empty()).map(str::to_owned).collect();
            } else if entry.values.len() != 1 {
                return Err(wrong(format!("takes one value, not {}", entry.values.len())));
            }
            let words: Vec<String> = entry.values.iter().map(|value| format!("--{key}={value}")).collect();
            self.0.clone().try_get_matches_from(&words).map_err(|error| wrong(reason(&error)))?;
            all.extend(words);
        }
        let matches = self.0.clone().try_get_matches_from(all);
        matches.and_then(|matches| Settings::from_arg_matches(&matches)).map_err(|error| {
            // Not reached as long as rows do not depend on each other.
            ConfigError::Value { key: CONFIG.to_owned(), reason: reason(&error), from: None }
        })
    }
}

/// Why a value was refused: the sentence of its check.
fn reason(error: &clap::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string().trim_end().to_owned(), ToString::to_string)
}

/// The text of a TOML value as it would be written on the command line.
fn scalar(value: &toml::Value) -> Option<String> {
    Some(match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(truth) => truth.to_string(),
        toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => return None,
    })
}
