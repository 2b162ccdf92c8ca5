//! The demo's standard output: lines, and a bar below them if there is a terminal.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Without a terminal, how often progress is a line of its own.
const LINE_EVERY: Duration = Duration::from_secs(2);

pub(crate) struct Screen {
    terminal: bool,
    bar: Option<ProgressBar>,
    /// Progress that was printed last.
    printed: Duration,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stdout().is_terminal(), bar: None, printed: Duration::ZERO }
    }

    /// A line, above the bar if there is one.
    pub(crate) fn line(&self, text: impl AsRef<str>) {
        let print = || {
            // A closed pipe is no error: the files and the exit code are still valid.
            let _ = writeln!(std::io::stdout().lock(), "{}", text.as_ref());
        };
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// `done` of `all` is played.
    pub(crate) fn progress(&mut self, done: Duration, all: Duration, note: &str) {
        let done = done.min(all);
        if self.terminal {
            let bar = self.bar.get_or_insert_with(|| bar(all));
            bar.set_position(done.as_millis() as u64);
            bar.set_message(note.to_owned());
        } else if done >= self.printed + LINE_EVERY && done < all {
            self.printed = done;
            self.line(format!("         {:2} s of {} s played   {note}", done.as_secs(), all.as_secs()));
        }
    }

    /// Takes the bar away.
    pub(crate) fn end_progress(&mut self) {
        self.printed = Duration::ZERO;
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn bar(all: Duration) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(all.as_millis() as u64), ProgressDrawTarget::stdout_with_hz(10));
    let style = ProgressStyle::with_template("  [{bar:24}] {percent:>3} %   {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    bar
}
