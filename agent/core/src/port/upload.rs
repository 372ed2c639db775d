//! Bytes that a caller sends, on their way from a dialect to whoever puts them into a file. They go through memory a few pieces at a time:
//! a slow disk holds the sender back.

use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Pieces between sender and receiver.
const PIECES_MAX: usize = 16;

#[derive(Debug)]
enum Piece {
    Bytes(Bytes),
    /// Without it an upload broke off.
    End,
}

/// An upload: what its bytes are put in at, and what the engine is given.
pub fn upload(total_bytes: Option<u64>) -> (UploadSender, UploadSource) {
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    let receiver = UploadReceiver { pieces: receiver, total_bytes };
    (UploadSender(sender), UploadSource(Arc::new(Mutex::new(Some(receiver)))))
}

/// Where a dialect puts the bytes in. Dropped before [`UploadSender::finish`], the upload is broken off.
#[derive(Debug)]
pub struct UploadSender(mpsc::Sender<Piece>);

impl UploadSender {
    /// Hands on some bytes; waits while those before are not taken yet. False where nobody takes any more: the change has ended.
    pub async fn send(&self, bytes: Bytes) -> bool {
        self.0.send(Piece::Bytes(bytes)).await.is_ok()
    }

    /// These were all.
    pub async fn finish(self) {
        // Where nobody listens any more the change has ended, and its own error tells why.
        let _ = self.0.send(Piece::End).await;
    }
}

/// The bytes as a change carries them: in memory only, and taken once.
#[derive(Debug, Clone, Default)]
pub struct UploadSource(Arc<Mutex<Option<UploadReceiver>>>);

impl UploadSource {
    /// The receiving end; none where it was taken before or there never was one.
    pub fn take(&self) -> Option<UploadReceiver> {
        self.0.lock().take()
    }
}

impl PartialEq for UploadSource {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for UploadSource {}

/// Where the bytes come out.
#[derive(Debug)]
pub struct UploadReceiver {
    pieces: mpsc::Receiver<Piece>,
    /// Bytes in all, where the sender has said.
    pub total_bytes: Option<u64>,
}

/// What comes out.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// Some bytes.
    Bytes(Bytes),
    /// Those before were all.
    End,
    /// The sender is gone, and more should have come.
    BrokenOff,
}

impl UploadReceiver {
    /// What comes next.
    pub async fn next(&mut self) -> Received {
        match self.pieces.recv().await {
            Some(Piece::Bytes(bytes)) => Received::Bytes(bytes),
            Some(Piece::End) => Received::End,
            None => Received::BrokenOff,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_end_is_told_from_a_break() {
        let (sender, source) = upload(Some(3));
        let mut receiver = source.take().unwrap();
        assert!(source.take().is_none());
        assert!(sender.send(Bytes::from_static(b"abc")).await);
        sender.finish().await;
        assert_eq!(receiver.next().await, Received::Bytes(Bytes::from_static(b"abc")));
        assert_eq!(receiver.next().await, Received::End);
        let (sender, source) = upload(None);
        let mut receiver = source.take().unwrap();
        drop(sender);
        assert_eq!(receiver.next().await, Received::BrokenOff);
    }

    #[tokio::test]
    async fn a_sender_learns_that_nobody_takes_any_more() {
        let (sender, source) = upload(None);
        drop(source.take());
        assert!(!sender.send(Bytes::from_static(b"abc")).await);
    }
}
