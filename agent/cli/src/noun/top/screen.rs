//! The terminal as a screen that is redrawn in place: keys without echo, and everything as it was when it ends.

use super::Order;
use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, size,
};
use crossterm::{execute, queue};
use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{self, Read, Write};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// Keys that are kept while nobody looks at them.
const KEYS_MAX: usize = 16;
/// What a terminal without a size is taken for.
const SIZE_DEFAULT: (u16, u16) = (80, 24);

/// What the person at the terminal wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    Quit,
    Sort(Order),
    /// The screen has another size.
    Redraw,
}

/// The screen; while it lives the terminal is ours.
pub(super) struct Screen {
    keyboard: Option<Keyboard>,
    interrupt: Signal,
    terminate: Signal,
    resize: Signal,
    /// The order of a key that was pressed during a look.
    kept: Option<Order>,
}

impl Screen {
    /// Takes the terminal over.
    pub(super) fn open() -> io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        let resize = signal(SignalKind::window_change())?;
        // without a keyboard (input redirected, no controlling terminal) it still shows, and Ctrl-C still ends it
        let keyboard = Keyboard::open().ok();
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(Self { keyboard, interrupt, terminate, resize, kept: None })
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> (u16, u16) {
        size().ok().filter(|(width, height)| *width > 0 && *height > 0).unwrap_or(SIZE_DEFAULT)
    }

    /// Shows `text` instead of what was there, in one go.
    pub(super) fn draw(&mut self, text: &str) -> io::Result<()> {
        let mut frame = Vec::with_capacity(text.len() + 512);
        queue!(frame, BeginSynchronizedUpdate, MoveTo(0, 0))?;
        for (index, line) in text.lines().take(usize::from(self.size().1)).enumerate() {
            if index > 0 {
                frame.extend_from_slice(b"\r\n");
            }
            frame.extend_from_slice(line.as_bytes());
            queue!(frame, Clear(ClearType::UntilNewLine))?;
        }
        queue!(frame, Clear(ClearType::FromCursorDown), EndSynchronizedUpdate)?;
        let mut out = io::stdout().lock();
        out.write_all(&frame)?;
        out.flush()
    }

    /// Waits for the next wish.
    pub(super) async fn input(&mut self) -> Input {
        match self.kept.take() {
            Some(order) => Input::Sort(order),
            None => self.next().await,
        }
    }

    /// Waits until it shall end; an order asked for meanwhile is kept.
    pub(super) async fn quit(&mut self) {
        loop {
            match self.next().await {
                Input::Quit => return,
                Input::Sort(order) => self.kept = Some(order),
                Input::Redraw => {}
            }
        }
    }

    async fn next(&mut self) -> Input {
        let Self { keyboard, interrupt, terminate, resize, .. } = self;
        tokio::select! {
            _ = interrupt.recv() => Input::Quit,
            _ = terminate.recv() => Input::Quit,
            _ = resize.recv() => Input::Redraw,
            input = Keyboard::next(keyboard) => input,
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // if the terminal is gone there is nothing to put back
        let _ = execute!(io::stdout(), Show, LeaveAlternateScreen);
    }
}

/// The keyboard without echo and without waiting for the end of a line. Ctrl-C still interrupts; Ctrl-Z does not, for it would leave
/// the shell with our screen.
struct Keyboard {
    terminal: File,
    before: Termios,
    keys: mpsc::Receiver<u8>,
}

impl Keyboard {
    fn open() -> io::Result<Self> {
        let terminal = File::options().read(true).write(true).open("/dev/tty")?;
        let before = tcgetattr(&terminal)?;
        let mut bare = before.clone();
        bare.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON);
        bare.control_chars[SpecialCharacterIndices::VSUSP as usize] = 0;
        bare.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
        bare.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        let mut reader = terminal.try_clone()?;
        tcsetattr(&terminal, SetArg::TCSAFLUSH, &bare)?;
        let (sender, keys) = mpsc::channel(KEYS_MAX);
        // it waits for a key that may never come, so it ends with the process
        std::thread::spawn(move || {
            let mut key = [0];
            while reader.read(&mut key).is_ok_and(|length| length > 0) && sender.blocking_send(key[0]).is_ok() {}
        });
        Ok(Self { terminal, before, keys })
    }

    /// The next key that means something.
    async fn next(keyboard: &mut Option<Self>) -> Input {
        loop {
            let key = match keyboard {
                Some(keyboard) => keyboard.keys.recv().await,
                None => std::future::pending().await,
            };
            match key.map(meaning) {
                Some(Some(input)) => return input,
                Some(None) => {}
                // the terminal was closed
                None => return Input::Quit,
            }
        }
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, SetArg::TCSAFLUSH, &self.before);
    }
}

fn meaning(key: u8) -> Option<Input> {
    Some(match key.to_ascii_lowercase() {
        b'q' => Input::Quit,
        b'c' => Input::Sort(Order::Cpu),
        b'm' => Input::Sort(Order::Memory),
        b'd' => Input::Sort(Order::Disk),
        b'n' => Input::Sort(Order::Network),
        b'a' => Input::Sort(Order::Name),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_mean_the_same_in_either_case_and_others_nothing() {
        assert_eq!(meaning(b'q'), Some(Input::Quit));
        assert_eq!((meaning(b'M'), meaning(b'a')), (Some(Input::Sort(Order::Memory)), Some(Input::Sort(Order::Name))));
        assert_eq!((meaning(b'x'), meaning(0x1b)), (None, None));
    }
}
