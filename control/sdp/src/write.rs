//! [`Sdp`] to text.

use super::{Line, Sdp};

impl std::fmt::Display for Sdp {
    /// The lines as parsed, each with CR LF at its end.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let write = |f: &mut std::fmt::Formatter<'_>, line: &Line| write!(f, "{}={}\r\n", line.letter, line.value);
        for line in &self.session {
            write(f, line)?;
        }
        for media in &self.media {
            write(f, &media.line)?;
            for line in &media.lines {
                write(f, line)?;
            }
        }
        Ok(())
    }
}
