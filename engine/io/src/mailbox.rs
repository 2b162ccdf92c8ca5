//! Bounded mailboxes between threads. A full mailbox is an error for the sender, never a wait: neither a media
//! thread nor the control thread may block because the other one does.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};

use mio::{Registry, Token, Waker};

/// Wakes a thread that waits in its poller, for all its mailboxes. Of many messages only the first after
/// [`Bell::acknowledge`] costs a system call: the setup of a call is some ten messages.
#[derive(Debug)]
pub struct Bell {
    waker: Waker,
    /// Rung, and not acknowledged yet.
    rung: AtomicBool,
}

impl Bell {
    /// A bell for the thread that polls with `registry`; ringing is an event with `token` there.
    ///
    /// # Errors
    /// If the system provides no eventfd.
    pub fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        Ok(Self { waker: Waker::new(registry, token)?, rung: AtomicBool::new(false) })
    }

    /// Wakes the thread, or prevents its next wait.
    pub fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            // Writing to an eventfd fails only if its poller is gone; then no thread needs to be woken.
            let _: io::Result<()> = self.waker.wake();
        }
    }

    /// To be called by the thread each time after it has polled, before it reads its mailboxes: later messages ring again.
    pub fn acknowledge(&self) {
        self.rung.swap(false, Ordering::AcqRel);
    }
}

/// The mailbox is full, or its reader is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("busy")]
pub struct MailboxFull;

/// The sending end of a mailbox. Clones send into the same mailbox.
#[derive(Debug)]
pub struct Sender<T> {
    messages: SyncSender<T>,
    reader: Arc<Bell>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { messages: self.messages.clone(), reader: Arc::clone(&self.reader) }
    }
}

impl<T> Sender<T> {
    /// Sends a message and wakes the reader.
    ///
    /// # Errors
    /// [`MailboxFull`] if there is no room or the reader is gone; the message is dropped.
    pub fn send(&self, message: T) -> Result<(), MailboxFull> {
        self.try_send(message).map_err(|_message| MailboxFull)
    }

    /// As [`Sender::send`], but returns the message if there is no room.
    ///
    /// # Errors
    /// The message, if there is no room or the reader is gone.
    pub fn try_send(&self, message: T) -> Result<(), T> {
        match self.messages.try_send(message) {
            Ok(()) => {
                self.wake();
                Ok(())
            }
            Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => Err(message),
        }
    }

    /// Wakes the reader without a message.
    pub fn wake(&self) {
        self.reader.ring();
    }
}

/// A mailbox with room for `capacity` messages whose reader is woken by `reader`.
pub fn channel<T>(capacity: usize, reader: Arc<Bell>) -> (Sender<T>, Receiver<T>) {
    let (messages, receiver) = mpsc::sync_channel(capacity);
    (Sender { messages, reader }, receiver)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::{Events, Poll};

    use super::*;

    #[test]
    fn a_message_wakes_the_reader_and_a_full_mailbox_refuses_at_once() {
        let mut poll = Poll::new().unwrap();
        let bell = Arc::new(Bell::new(poll.registry(), Token(7)).unwrap());
        let (sender, receiver) = channel(2, bell);
        assert_eq!(sender.send(1), Ok(()));
        assert_eq!(sender.clone().send(2), Ok(()));
        assert_eq!(sender.send(3), Err(MailboxFull));

        let mut events = Events::with_capacity(4);
        poll.poll(&mut events, Some(Duration::from_secs(10))).unwrap();
        assert_eq!(events.iter().map(|event| event.token()).collect::<Vec<_>>(), [Token(7)]);
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1, 2]);

        drop(receiver);
        assert_eq!(sender.send(4), Err(MailboxFull));
    }
    #[test]
    fn a_bell_that_was_rung_twice_wakes_once_and_again_after_it_was_acknowledged() {
        let mut poll = Poll::new().unwrap();
        let bell = Bell::new(poll.registry(), Token(7)).unwrap();
        let mut events = Events::with_capacity(4);
        for _ in 0..3 {
            bell.ring();
            bell.ring();
            poll.poll(&mut events, Some(Duration::from_secs(10))).unwrap();
            assert_eq!(events.iter().count(), 1);
            bell.ring();
            poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
            assert!(events.is_empty(), "it was not acknowledged yet");
            bell.acknowledge();
        }
    }
}
