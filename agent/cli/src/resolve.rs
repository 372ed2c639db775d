//! From what people type to what the API takes: a uuid stays, a name is looked up and must fit exactly one thing.

use crate::client::Client;
use crate::error::{self, CliError, Result};
use crate::text;
use crate::view::{entries, text};
use serde_json::Value;
use uuid::Uuid;

/// A kind of thing that has names.
#[derive(Debug)]
pub(crate) struct Kind {
    en: &'static str,
    cn: &'static str,
    noun: &'static str,
    /// Route that lists them.
    pub(crate) list_path: &'static str,
    /// Member with the uuid.
    pub(crate) uuid_key: &'static str,
    /// Member with the name.
    pub(crate) name_key: &'static str,
}

/// Virtual machines.
pub(crate) const VM: Kind =
    Kind { en: "VM", cn: "虚拟机", noun: "vm", list_path: "/v1/vm/list", uuid_key: "vm_uuid", name_key: "vm_name" };
/// Images.
pub(crate) const IMAGE: Kind =
    Kind {
        en: "image", cn: "镜像", noun: "image", list_path: "/v1/repository/image/list", uuid_key: "image_uuid", name_key: "image_name"
    };
/// Specifications.
pub(crate) const SPECIFICATION: Kind = Kind {
    en: "specification",
    cn: "规格",
    noun: "spec",
    list_path: "/v1/specification/list",
    uuid_key: "specification_uuid",
    name_key: "specification_name",
};
/// Networks.
pub(crate) const NETWORK: Kind =
    Kind {
        en: "network", cn: "网络", noun: "network", list_path: "/v1/network/list", uuid_key: "network_uuid", name_key: "network_name"
    };
/// Disks.
pub(crate) const DISK: Kind =
    Kind { en: "disk", cn: "硬盘", noun: "disk", list_path: "/v1/usd/list", uuid_key: "usd_uuid", name_key: "usd_name" };
/// Users.
pub(crate) const USER: Kind =
    Kind { en: "user", cn: "用户", noun: "user", list_path: "/v1/user/list", uuid_key: "user_uuid", name_key: "user_name" };
/// Tokens for programs.
pub(crate) const TOKEN: Kind =
    Kind { en: "token", cn: "令牌", noun: "token", list_path: "/v1/token/list", uuid_key: "token_uuid", name_key: "token_name" };

/// Image repositories.
pub(crate) const REPOSITORY: Kind = Kind {
    en: "repository",
    cn: "镜像仓库",
    noun: "repository",
    list_path: "/v1/repository/list",
    uuid_key: "repository_uuid",
    name_key: "repository_name",
};

/// One thing, found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Identity.
    pub(crate) uuid: String,
    /// Name; the uuid itself if that is all we were given.
    pub(crate) name: String,
    /// True if the name was looked up.
    pub(crate) is_named: bool,
    /// Its list entry, `null` if it was not looked up.
    pub(crate) entry: Value,
}

impl Target {
    /// The parameters that name it: the uuid, and for the operation log the name.
    pub(crate) fn body(&self, kind: &Kind) -> crate::client::Body {
        let mut body = crate::client::Body::new();
        body.insert(kind.uuid_key.into(), self.uuid.clone().into());
        if self.is_named {
            body.insert(kind.name_key.into(), self.name.clone().into());
        }
        body
    }
}

/// Finds what `wanted` means.
///
/// # Errors
/// Not found, if nothing has that name; usage, if several things have; whatever the node answers to the list.
pub(crate) async fn resolve(client: &mut Client, kind: &Kind, wanted: &str) -> Result<Target> {
    if let Ok(uuid) = Uuid::parse_str(wanted) {
        return Ok(Target { uuid: uuid.to_string(), name: wanted.to_owned(), is_named: false, entry: Value::Null });
    }
    let answer = client.get(kind.list_path, &[("name", wanted.to_owned()), ("page_size", "0".into())]).await?;
    let found = answer.value["list"].as_array().map_or(&[][..], Vec::as_slice);
    if !found.is_empty() {
        return pick(kind, wanted, found);
    }
    // nothing even contains it: perhaps it is misspelt
    let all = client.get(kind.list_path, &[("page_size", NAMES_MAX.to_string())]).await?;
    Err(unknown(kind, wanted, &nearest(wanted, entries(&all.value["list"]).map(|entry| text(entry, kind.name_key)))))
}

/// Names looked through for one that was misspelt.
const NAMES_MAX: usize = 1000;
/// Names offered instead.
const OFFERED_MAX: usize = 5;
/// How like it a name must be to be offered: 1 is the same.
const LIKENESS_MIN: f64 = 0.75;

/// Those of `names` that are most like `wanted`, the nearest first.
fn nearest(wanted: &str, names: impl Iterator<Item = String>) -> Vec<String> {
    let likeness = |name: &str| {
        let (wanted, name) = (wanted.to_lowercase(), name.to_lowercase());
        strsim::jaro_winkler(&wanted, &name).max(strsim::normalized_damerau_levenshtein(&wanted, &name))
    };
    let mut near: Vec<(f64, String)> =
        names.map(|name| (likeness(&name), name)).filter(|(likeness, _)| *likeness >= LIKENESS_MIN).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    near.into_iter().map(|(_, name)| name).take(OFFERED_MAX).collect()
}

/// There is no such thing; perhaps one of `close` was meant.
fn unknown(kind: &Kind, wanted: &str, close: &[String]) -> CliError {
    let (en, cn, noun) = (kind.en, kind.cn, kind.noun);
    let error = CliError::new(error::Kind::NotFound, text!("there is no {en} named '{wanted}'"; "没有名为 '{wanted}' 的{cn}"));
    if close.is_empty() {
        return error.hint(text!("see what there is: hvctl {noun} list"; "查看列表: hvctl {noun} list"));
    }
    let close = close.join(", ");
    error.hint(text!("did you mean: {close}"; "是否为: {close}"))
}

/// Finds each of several; a failure about one leaves the others. What stands twice is taken once.
pub(crate) async fn resolve_each(client: &mut Client, kind: &Kind, wanted: &[String]) -> Result<Vec<Result<Target>>> {
    let mut found: Vec<Result<Target>> = Vec::new();
    for name in wanted {
        match resolve(client, kind, name).await {
            Ok(target) if found.iter().flatten().any(|known| known.uuid == target.uuid) => {}
            Err(error) if !matches!(error.kind(), error::Kind::Usage | error::Kind::NotFound) || error.code().is_some() => {
                return Err(error);
            }
            other => found.push(other),
        }
    }
    match <[_; 1]>::try_from(found) {
        Ok([only]) => only.map(|target| vec![Ok(target)]),
        Err(several) => Ok(several),
    }
}

/// The one entry of `list` whose name is exactly `wanted`.
fn pick(kind: &Kind, wanted: &str, list: &[Value]) -> Result<Target> {
    let name_of = |entry: &Value| entry[kind.name_key].as_str().unwrap_or_default().to_owned();
    let uuid_of = |entry: &Value| entry[kind.uuid_key].as_str().unwrap_or_default().to_owned();
    let exact: Vec<&Value> = list.iter().filter(|entry| name_of(entry) == wanted).collect();
    let (en, cn) = (kind.en, kind.cn);
    match exact.as_slice() {
        [one] => Ok(Target { uuid: uuid_of(one), name: wanted.to_owned(), is_named: true, entry: (*one).clone() }),
        [] => Err(unknown(kind, wanted, &list.iter().map(name_of).take(OFFERED_MAX).collect::<Vec<_>>())),
        several => {
            let count = several.len();
            let uuids: Vec<String> = several.iter().map(|entry| uuid_of(entry)).collect();
            let uuids = uuids.join(", ");
            Err(CliError::usage(text!("'{wanted}' is the name of {count} {en}s"; "有 {count} 个{cn}名为 '{wanted}'"))
                .hint(text!("give one of their uuids: {uuids}"; "请使用 uuid: {uuids}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn vms(names: &[(&str, &str)]) -> Vec<Value> {
        names.iter().map(|(uuid, name)| json!({"vm_uuid": uuid, "vm_name": name})).collect()
    }

    #[test]
    fn the_exact_name_wins_over_names_that_contain_it() {
        let target = pick(&VM, "web", &vms(&[("1", "web-old"), ("2", "web")])).unwrap();
        assert_eq!((target.uuid.as_str(), target.is_named), ("2", true));
        let body = target.body(&VM);
        assert_eq!(Value::Object(body), json!({"vm_uuid": "2", "vm_name": "web"}));
    }

    #[test]
    fn what_is_misspelt_finds_what_is_meant() {
        let names = || ["web-0001", "web-0002", "db-0001", "数据库-0003"].into_iter().map(str::to_owned);
        assert_eq!(nearest("wbe-0001", names())[0], "web-0001");
        assert_eq!(nearest("WEB-0002", names())[0], "web-0002");
        assert_eq!(nearest("数据库-003", names()), ["数据库-0003"]);
        assert!(nearest("zzz", names()).is_empty());
    }

    #[test]
    fn an_unknown_name_is_not_found_and_offers_what_is_close() {
        let error = pick(&VM, "web", &vms(&[("1", "web-1"), ("2", "web-2")])).unwrap_err();
        assert_eq!(error.kind().exit_code(), 6);
        assert!(error.describe(crate::text::Language::En, false).contains("web-1, web-2"));
        let error = pick(&DISK, "x", &[]).unwrap_err();
        assert!(error.describe(crate::text::Language::En, false).contains("hvctl disk list"));
    }

    #[test]
    fn a_name_that_fits_several_things_is_refused_with_their_uuids() {
        let error = pick(&VM, "web", &vms(&[("u1", "web"), ("u2", "web")])).unwrap_err();
        assert_eq!(error.kind().exit_code(), 2);
        assert!(error.describe(crate::text::Language::Cn, false).contains("u1, u2"));
    }
}
