//! How a command can fail, what is said about it, and the exit code that goes with it.

use crate::text;
use crate::text::{Language, Text};
use std::fmt::Write as _;

/// The outcome of anything that can fail.
pub(crate) type Result<T> = std::result::Result<T, CliError>;

/// Shown under `--help`; [`Kind::exit_code`] is the same table.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    refused by the node, or failed on it (the message ends with the node's code); hvctl doctor: something must be repaired
  2    the command line is wrong, or a name fits several things
  3    the node cannot be reached
  4    not logged in, or not allowed to do this
  5    not finished in time (the job may still be running: see `hvctl job list`)
  6    not found: nothing has that name or uuid
  7    not possible at present (busy, locked out by load, libvirt away); the same command may succeed later
  130  interrupted; a job that was started goes on

Which node, the first that is said: --url, --profile, HVNODE_URL, HVNODE_NATIVE_URL, HVNODE_SOCKET, HVNODE_PROFILE, the default
profile of ~/.config/hvctl/config.toml (see hvctl profile --help), /run/hvnode/hvnode.sock if it exists, http://127.0.0.1:7070.

Environment:
  HVNODE_URL, HVNODE_NATIVE_URL  where the node listens: https://HOST:PORT, http://HOST:PORT or unix:/PATH
  HVNODE_SOCKET                  its unix socket
  HVNODE_PROFILE                 a profile of the configuration
  HVNODE_USER, HVNODE_PASSWORD   log in on the fly where a log-in is needed and none is stored
  HVNODE_CA_FILE                 with https://: authorities to trust in place of the system's
  HVNODE_CLIENT_CERTIFICATE, HVNODE_CLIENT_KEY  with https://: who we are, in place of a log-in
  NO_COLOR                       no colours, even on a terminal";

/// The kinds of failures a script can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The node said no, or its job failed, or something local did.
    Failed,
    /// The command line cannot be carried out as it stands.
    Usage,
    /// No answer, or not from a hvnode.
    Unreachable,
    /// Not logged in or not allowed.
    Denied,
    /// Not finished in time.
    Timeout,
    /// There is no such thing.
    NotFound,
    /// Not now, but perhaps later.
    Busy,
    /// Ctrl-C.
    Interrupted,
    /// Whoever read our output stopped reading: nothing to say, nobody to say it to.
    OutputClosed,
}

impl Kind {
    /// The exit code; see [`EXIT_CODES`].
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Denied => 4,
            Self::Timeout => 5,
            Self::NotFound => 6,
            Self::Busy => 7,
            Self::Interrupted => 130,
        }
    }

    /// What a status code of the node means for a script.
    pub(crate) fn of_status_code(code: u32) -> Self {
        match code {
            10100..=10103 | 10180 | 10181 | 10183 => Self::Denied,
            10006 => Self::Timeout,
            10200 | 12000 | 12003 | 13000 | 14000 | 14010 | 15000 | 15007 | 15008 | 16000 | 17000 | 20000 | 20003 => Self::NotFound,
            10007..=10009 | 10012 | 12001 | 12002 | 13010 | 14016 | 15004 | 19001 => Self::Busy,
            _ => Self::Failed,
        }
    }
}

/// A failure, ready to be shown. Boxed inside, so that passing it up costs nothing.
#[derive(Debug, Clone)]
pub(crate) struct CliError(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    kind: Kind,
    /// The node's status code, if it is the node's failure.
    code: Option<u32>,
    text: Text,
    hint: Option<Text>,
    /// The node's own call places, for `--verbose`.
    stack: Vec<String>,
    /// Name of what it is about, if the text does not say it.
    subject: Option<String>,
    is_told: bool,
}

impl CliError {
    /// A failure of ours.
    pub(crate) fn new(kind: Kind, text: Text) -> Self {
        Self(Box::new(Inner { kind, code: None, text, hint: None, stack: Vec::new(), subject: None, is_told: false }))
    }

    /// A failure of ours that another command line would avoid.
    pub(crate) fn usage(text: Text) -> Self {
        Self::new(Kind::Usage, text)
    }

    /// A failure the node reports, with the step that most often helps.
    pub(crate) fn from_node(code: u32, text: Text, stack: Vec<String>) -> Self {
        Self(Box::new(Inner {
            kind: Kind::of_status_code(code),
            code: Some(code),
            text,
            hint: hint_for(code),
            stack,
            subject: None,
            is_told: false,
        }))
    }

    /// With advice.
    #[must_use]
    pub(crate) fn hint(mut self, hint: Text) -> Self {
        self.0.hint = Some(hint);
        self
    }

    /// With advice, unless there is better already.
    #[must_use]
    pub(crate) fn or_hint(mut self, hint: Text) -> Self {
        self.0.hint.get_or_insert(hint);
        self
    }

    /// Tells what the node's refusal is about: its messages do not. Our own messages do.
    #[must_use]
    pub(crate) fn about(mut self, name: &str) -> Self {
        if self.0.code.is_some() {
            self.0.subject.get_or_insert_with(|| name.to_owned());
        }
        self
    }

    /// Not to be shown again: only its exit code still counts.
    #[must_use]
    pub(crate) fn already_told(mut self) -> Self {
        self.0.is_told = true;
        self
    }

    /// True if there is nothing to show.
    pub(crate) fn is_silent(&self) -> bool {
        self.0.is_told || self.0.kind == Kind::OutputClosed
    }

    /// Its kind.
    pub(crate) fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The node's status code, if it is the node's failure.
    pub(crate) fn code(&self) -> Option<u32> {
        self.0.code
    }

    /// What went wrong, without advice.
    pub(crate) fn text(&self) -> &Text {
        &self.0.text
    }

    /// The advice.
    pub(crate) fn advice(&self) -> Option<&Text> {
        self.0.hint.as_ref()
    }

    /// Everything there is to say, without a leading `hvctl:`.
    pub(crate) fn describe(&self, language: Language, is_verbose: bool) -> String {
        let mut out = self.0.subject.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        out.push_str(self.0.text.pick(language));
        if let Some(code) = self.0.code {
            let _ = write!(out, " [{code}]");
        }
        if let Some(hint) = &self.0.hint {
            let _ = write!(out, "\n  {}", hint.pick(language));
        }
        if is_verbose {
            for place in &self.0.stack {
                let _ = write!(out, "\n  at {place}");
            }
        }
        out
    }
}

impl From<std::io::Error> for CliError {
    /// For writing to standard output; files are opened with words of their own.
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::new(Kind::OutputClosed, Text::default()),
            _ => Self::new(Kind::Failed, text!("cannot write the output: {error}"; "无法写出结果: {error}")),
        }
    }
}

/// What helps most often with a status code of the node.
fn hint_for(code: u32) -> Option<Text> {
    Some(match code {
        10100 => text!("log in first: hvctl login"; "请先登录: hvctl login"),
        10101 | 10102 => text!("log in again: hvctl login"; "请重新登录: hvctl login"),
        10103 => text!("see who you are: hvctl whoami"; "查看当前身份: hvctl whoami"),
        10181 => text!("too many wrong passwords; wait some minutes"; "密码错误次数过多,请几分钟后再试"),
        10007 => {
            text!(
                "libvirt does not answer the node; on it: systemctl status libvirtd hvnoded";
                "节点上的 libvirt 无响应,请在节点上执行: systemctl status libvirtd hvnoded"
            )
        }
        10004 | 10005 => text!("is the node as new as this hvctl? See: hvctl doctor"; "节点版本是否不低于 hvctl? 请执行: hvctl doctor"),
        10008 => {
            text!("see whether the disk of the node's state folder is full: hvctl doctor"; "请检查节点状态目录的磁盘空间: hvctl doctor")
        }
        10009 | 10012 => text!("try again in a moment"; "请稍后再试"),
        12000 | 12003 => text!("see which node this is: hvctl host show"; "查看当前节点: hvctl host show"),
        12001 => text!("see what is left: hvctl host show"; "查看剩余资源: hvctl host show"),
        13010 => text!("see what it is busy with: hvctl job list --status running"; "查看正在执行的任务: hvctl job list --status running"),
        13000 => text!("see what there is: hvctl vm list"; "查看列表: hvctl vm list"),
        13002 => text!("see its state: hvctl vm show NAME"; "查看其状态: hvctl vm show NAME"),
        13015 => text!("take it over first: hvctl vm adopt NAME"; "请先纳管: hvctl vm adopt NAME"),
        13016 => text!("see what contradicts its record: hvctl vm show NAME"; "查看与记录不符之处: hvctl vm show NAME"),
        14001 | 16007 => text!("make room: hvctl image list, hvctl disk list"; "请释放空间: hvctl image list, hvctl disk list"),
        14010 => text!("see what there is: hvctl image list"; "查看列表: hvctl image list"),
        14015 | 17002 => text!("see which VMs use it: hvctl vm list --json"; "查看使用它的虚拟机: hvctl vm list --json"),
        15000 => text!("see what there is: hvctl network list"; "查看列表: hvctl network list"),
        17000 => text!("see what there is: hvctl spec list"; "查看列表: hvctl spec list"),
        20000 => text!("see what there is: hvctl job list --all"; "查看列表: hvctl job list --all"),
        13014 => text!("unlock it first: hvctl vm update NAME --unlock"; "请先解锁: hvctl vm update NAME --unlock"),
        14016 => text!("see how far it is: hvctl image list"; "查看进度: hvctl image list"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_codes_map_to_the_documented_exit_codes() {
        for (code, exit) in [
            (13002, 1),
            (10000, 1),
            (10003, 1),
            (10100, 4),
            (10102, 4),
            (10103, 4),
            (10180, 4),
            (10183, 4),
            (10006, 5),
            (13000, 6),
            (20000, 6),
            (10007, 7),
            (13010, 7),
        ] {
            assert_eq!(Kind::of_status_code(code).exit_code(), exit, "{code}");
        }
    }

    #[test]
    fn every_exit_code_is_documented() {
        for kind in [
            Kind::OutputClosed,
            Kind::Failed,
            Kind::Usage,
            Kind::Unreachable,
            Kind::Denied,
            Kind::Timeout,
            Kind::NotFound,
            Kind::Busy,
            Kind::Interrupted,
        ] {
            let code = kind.exit_code().to_string();
            assert!(EXIT_CODES.lines().any(|line| line.trim_start().starts_with(&code)), "{code}");
        }
    }

    #[test]
    fn a_refusal_shows_message_code_and_hint_and_the_stack_only_if_asked() {
        let text = Text { en: "Vm locked".into(), cn: "虚拟机已锁定".into() };
        let error = CliError::from_node(13014, text, vec!["ip:::1,pid:1".into()]);
        assert_eq!(error.describe(Language::En, false), "Vm locked [13014]\n  unlock it first: hvctl vm update NAME --unlock");
        assert!(error.describe(Language::Cn, true).starts_with("虚拟机已锁定 [13014]"));
        assert!(error.describe(Language::Cn, true).ends_with("at ip:::1,pid:1"));
    }
}
