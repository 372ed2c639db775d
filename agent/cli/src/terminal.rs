//! Questions to the person at the terminal: a password that is not echoed, a yes or no.

use crate::error::{CliError, Kind, Result};
use crate::output::plain;
use crate::text;
use crate::text::{Language, Text};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};

/// Asks for a line on the controlling terminal, so that it works with standard input redirected.
///
/// # Errors
/// Usage where there is no terminal; interruption.
pub(crate) async fn ask(question: &Text, language: Language, is_secret: bool) -> Result<String> {
    let terminal = File::options().read(true).write(true).open("/dev/tty").map_err(|_| no_terminal())?;
    let question = question.pick(language).to_owned();
    let quiet = if is_secret { Some(Quiet::start(&terminal).map_err(|_| no_terminal())?) } else { None };
    let mut prompt = &terminal;
    prompt.write_all(question.as_bytes())?;
    let reader = terminal.try_clone()?;
    let line = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        BufReader::new(reader).read_line(&mut line).map(|_| line)
    });
    let answer = tokio::select! {
        answer = line => answer.map_err(io::Error::other)?,
        _ = tokio::signal::ctrl_c() => Err(io::ErrorKind::Interrupted.into()),
    };
    if quiet.is_some() {
        prompt.write_all(b"\n")?;
    }
    drop(quiet);
    match answer {
        Ok(line) if line.ends_with('\n') => Ok(line.trim_end_matches(['\n', '\r']).to_owned()),
        _ => Err(CliError::new(Kind::Interrupted, text!("interrupted"; "已中断"))),
    }
}

fn no_terminal() -> CliError {
    CliError::usage(text!("there is no terminal to ask at"; "没有可供输入的终端"))
}

/// Echo is off while this lives. Signals do not end the process here (they are awaited), so it is always put back.
struct Quiet {
    terminal: File,
    before: Termios,
}

impl Quiet {
    fn start(terminal: &File) -> io::Result<Self> {
        let terminal = terminal.try_clone()?;
        let before = tcgetattr(&terminal)?;
        let mut without_echo = before.clone();
        without_echo.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(&terminal, SetArg::TCSAFLUSH, &without_echo)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // if the terminal is gone there is nobody left to type at it
        let _ = tcsetattr(&self.terminal, SetArg::TCSAFLUSH, &self.before);
    }
}

/// Asks before something is destroyed; `is_yes` answers in advance. Where nobody can be asked, it is refused.
///
/// # Errors
/// Usage where there is nobody to ask; failure where the answer is no.
pub(crate) async fn confirm(what: &Text, is_yes: bool, language: Language) -> Result<()> {
    if is_yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(CliError::usage(text!("nobody is there to confirm this"; "无法交互确认"))
            .hint(text!("add --yes to do it without asking"; "添加 --yes 以跳过确认")));
    }
    let Text { en, cn } = what;
    let (en, cn) = (plain(en), plain(cn));
    let answer = ask(&text!("{en}? [y/N] "; "{cn}? [y/N] "), language, false).await?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" | "是" => Ok(()),
        _ => Err(CliError::new(Kind::Failed, text!("nothing was done"; "未执行任何操作"))),
    }
}
