//! Settings that can change while calls are active: SIGHUP reads all sources again and applies these.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::secret_file::SECRET_FILE;
use super::{CallSettings, Config};

/// The keys of these settings. A change of any other one has no effect before the next start.
pub(super) const RUN_TIME_KEYS: &[&str] = &[
    "ng-allow",
    "ng-secret-file",
    "ng-unsigned",
    "silent-timeout",
    "offer-timeout",
    "delete-delay",
    "grace",
    "max-sessions",
    "max-half-open",
    "max-cpu",
    "max-load",
    "max-lateness-ms",
    "gate",
    "gate-timeout",
    "gate-on-timeout",
    "pre-roll",
    "filler",
    "tos",
    "log-level",
];

/// The values as they are written, by key; without those that are not written anywhere. Not printed: a secret may be among them.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct WrittenValues(pub(super) BTreeMap<String, Vec<String>>);

impl fmt::Debug for WrittenValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The difference between two configurations, as keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SettingChanges {
    /// These have the new values from now on.
    pub applied: Vec<String>,
    /// These keep the old values until the next start.
    pub need_restart: Vec<String>,
}

impl Config {
    /// Takes those values of `new` that can change while calls are active.
    pub fn take_run_time(&mut self, new: &Self) -> SettingChanges {
        let keys: BTreeSet<&String> = self.written.0.keys().chain(new.written.0.keys()).collect();
        let changed = keys.into_iter().filter(|key| self.written.0.get(*key) != new.written.0.get(*key));
        let (mut applied, need_restart): (Vec<String>, Vec<String>) =
            changed.cloned().partition(|key| RUN_TIME_KEYS.contains(&key.as_str()));
        for key in &applied {
            match new.written.0.get(key) {
                Some(values) => drop(self.written.0.insert(key.clone(), values.clone())),
                None => drop(self.written.0.remove(key)),
            }
        }
        if self.ng_secret != new.ng_secret {
            // The text of the file has changed, whether or not its name has.
            self.ng_secret.clone_from(&new.ng_secret);
            if !applied.iter().any(|key| key == SECRET_FILE) {
                applied.push(SECRET_FILE.to_owned());
            }
        }
        let (of, from) = (&mut self.settings, &new.settings);
        of.calls = CallSettings { timeout: of.calls.timeout, ..from.calls.clone() };
        let (to, listen) = (&mut of.listen, &from.listen);
        to.ng_allow.clone_from(&listen.ng_allow);
        to.ng_secret_file.clone_from(&listen.ng_secret_file);
        to.ng_unsigned.clone_from(&listen.ng_unsigned);
        of.limits = from.limits.clone();
        of.gate = from.gate.clone();
        of.media.tos = from.media.tos;
        of.log.log_level = from.log.log_level;
        SettingChanges { applied, need_restart }
    }
}
