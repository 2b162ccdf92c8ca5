//! Errors in the configuration: each names its source, the key, and what to write instead.

use super::SettingSource;

/// What is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("config: cannot read {path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// The system's reason.
        reason: String,
    },
    /// The file is not TOML.
    #[error("config: {path}: {reason}")]
    Syntax {
        /// The file.
        path: String,
        /// Line, column and reason.
        reason: String,
    },
    /// The file has a key that does not exist.
    #[error("config: {path}: unknown key `{key}`{}", hint(nearest.as_deref()))]
    UnknownKey {
        /// The file.
        path: String,
        /// The key.
        key: String,
        /// The known key with the most similar name.
        nearest: Option<String>,
    },
    /// There is an environment variable `TRESTLE_*` that does not exist.
    #[error("environment: unknown variable `{name}`{}", hint(nearest.as_deref()))]
    UnknownVariable {
        /// The variable.
        name: String,
        /// The known variable with the most similar name.
        nearest: Option<String>,
    },
    /// The value of a key cannot be used.
    #[error("{key}: {reason}{}", place(from.as_ref()))]
    Value {
        /// The key, as in the file and (with two dashes) on the command line.
        key: String,
        /// Why, and what to write.
        reason: String,
        /// Where the value is written; `None` if it is a default or was set by a program.
        from: Option<SettingSource>,
    },
}

impl ConfigError {
    pub(super) fn value(key: &str, reason: String) -> Self {
        Self::Value { key: key.to_owned(), reason, from: None }
    }
}

fn hint(nearest: Option<&str>) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean `{nearest}`?"),
        None => "; `trestle serve --help` lists what there is".to_owned(),
    }
}

fn place(from: Option<&SettingSource>) -> String {
    from.map(|from| format!(" ({from})")).unwrap_or_default()
}
