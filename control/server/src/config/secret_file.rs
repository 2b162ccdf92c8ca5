//! `ng-secret-file`: reads it, if other users cannot.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use trestle_ng::NgSecrets;

use super::{ConfigError, ListenSettings, Secret};

pub(super) const SECRET_FILE: &str = "ng-secret-file";

/// A file of secrets has a few lines.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// Reads a file of secrets. systemd makes credentials (`LoadCredential=`) readable for the user of the service by an access list, whose
/// mask is shown as the rights of the group; `credentials` is their directory.
///
/// # Errors
/// A sentence: the file cannot be read, other users can read it, or it has no good secret.
pub(super) fn read(path: &Path, credentials: Option<&Path>) -> Result<(Secret, NgSecrets), String> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| format!("cannot read {shown}: {error}");
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(format!("{shown} is not a regular file"));
    }
    let file = fs::File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
    let is_credential = credentials.is_some_and(|directory| path.starts_with(directory));
    if mode & if is_credential { 0o037 } else { 0o077 } != 0 {
        return Err(format!("{shown} has mode {mode:04o}, so other users can read the secret: run chmod 600 {shown}"));
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    let secrets = NgSecrets::read(text.as_bytes()).map_err(|error| format!("{shown}: {error}"))?;
    Ok((Secret::from(text), secrets))
}

/// The text of the file that the settings name.
///
/// # Errors
/// [`ConfigError::Value`]: it cannot be used; or there are exceptions (`ng-unsigned`) without it.
pub(super) fn of_settings(listen: &ListenSettings) -> Result<Option<Secret>, ConfigError> {
    let Some(path) = &listen.ng_secret_file else {
        return match listen.ng_unsigned.as_slice() {
            [] => Ok(None),
            _ => {
                let reason = "without ng-secret-file no request is signed; set ng-secret-file, or remove this";
                Err(ConfigError::value("ng-unsigned", reason.to_owned()))
            }
        };
    };
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
    let read = read(path, credentials.as_deref().map(Path::new));
    read.map(|(text, _)| Some(text)).map_err(|reason| ConfigError::value(SECRET_FILE, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_other_users_can_read_is_refused_with_what_to_do() {
        let directory = std::env::temp_dir().join(format!("trestle-secret-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("secret");
        let good = "0123456789abcdef0123456789abcdef\n";
        for (mode, text, credential, expected) in [
            (0o600, good, false, ""),
            (0o400, good, false, ""),
            (0o440, good, true, ""),
            (0o640, good, false, "has mode 0640, so other users can read the secret: run chmod 600 "),
            (0o604, good, false, "has mode 0604"),
            (0o460, good, true, "has mode 0460"),
            (0o444, good, true, "has mode 0444"),
            (0o600, "short\n", false, "line 1 is too short; a secret has at least 32 characters"),
            (0o600, "\n", false, "there is no secret in it"),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            match read(&path, credential.then_some(directory.as_path())) {
                Ok((secret, _)) => assert!(expected.is_empty() && secret.as_bytes() == text.as_bytes(), "{mode:o}"),
                Err(reason) => assert!(!expected.is_empty() && reason.contains(expected), "{mode:o}: {reason}"),
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        for (path, expected) in [(directory.join("none"), "cannot read"), (directory.clone(), "is not a regular file")]
        {
            assert!(read(&path, None).unwrap_err().contains(expected));
        }
        fs::remove_dir_all(directory).unwrap();
    }
}
