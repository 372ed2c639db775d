//! Everything that can go wrong, as one closed list.
//!
//! An [`AgentError`] has a code, a detail in English and Chinese, the place it was made and every place that added context, and the
//! cause as `source`. The detail says what is wrong and what would be right; it never repeats the cause and never holds a secret.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

macro_rules! error_codes {
    ($($(#[doc = $doc:literal])* $name:ident $number:literal $http:literal $retry:literal $en:literal $cn:literal;)*) => {
        /// The closed list. Numbers are the native table's; they are never reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ErrorCode { $($(#[doc = $doc])* #[doc = $en] $name,)* }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Number in the native dialect.
            pub fn number(self) -> u32 { match self { $(Self::$name => $number,)* } }

            /// HTTP status for dialects that use it.
            pub fn http_status(self) -> u16 { match self { $(Self::$name => $http,)* } }

            /// True if the same request may succeed later without anybody changing anything.
            pub fn is_retryable(self) -> bool { match self { $(Self::$name => $retry,)* } }

            /// English text; `%s` is where the detail goes.
            pub fn text(self) -> &'static str { match self { $(Self::$name => $en,)* } }

            /// Chinese text; `%s` is where the detail goes.
            pub fn text_cn(self) -> &'static str { match self { $(Self::$name => $cn,)* } }
        }
    };
}

error_codes! {
    Internal 10000 500 false "Manager server error: %s" "服务器出错: %s";
    ParseParameter 10001 400 false "Parse parameter error: %s" "参数解析出错: %s";
    ParameterMissing 10002 400 false "Parameter missing: %s" "缺少参数: %s";
    ParameterInvalid 10003 400 false "Parameter invalid: %s" "参数无效: %s";
    MethodNotAllowed 10004 405 false "Method not allowed: %s" "请求方法不允许: %s";
    NotSupported 10005 501 false "Operation not supported: %s" "操作不支持: %s";
    Timeout 10006 504 true "Operation timeout: %s" "操作超时: %s";
    HypervisorUnavailable 10007 503 true "Hypervisor unavailable: %s" "虚拟化服务不可用: %s";
    StoreFailed 10008 503 true "Database error: %s" "数据库出错: %s";
    ResourceBusy 10009 409 true "Resource busy: %s" "资源忙: %s";
    AlreadyExist 10010 409 false "Resource already exist: %s" "资源已存在: %s";
    RequestTooLarge 10011 413 false "Request too large: %s" "请求体过大: %s";
    TooManyRequests 10012 429 true "Too many requests: %s" "请求过于频繁: %s";
    /// The idempotency key came with another body before.
    RequestUuidReused 10013 409 false "Request uuid already used with another body: %s" "请求uuid已用于其他请求: %s";
    TokenMissing 10100 401 false "Token missing" "缺少令牌";
    TokenInvalid 10101 401 false "Token invalid" "令牌无效";
    TokenExpired 10102 401 false "Token expired" "令牌过期";
    PermissionDenied 10103 403 false "Permission denied: %s" "权限不足: %s";
    TokenNotExist 10104 404 false "Token not exist" "令牌不存在";
    PasswordWrong 10180 401 false "Password error" "密码错误";
    UserLocked 10181 403 true "User locked" "用户已锁定";
    UserDisabled 10182 403 false "User disabled" "用户已停用";
    UserNotExist 10183 401 false "User not exist" "用户不存在";
    UserAlreadyExist 10184 409 false "User already exist" "用户已存在";
    /// Nobody would be left who may manage accounts.
    UserLastAdmin 10185 409 false "Last administrator: %s" "最后一个管理员: %s";
    TenantNotExist 10200 404 false "Tenant not exist" "租户不存在";
    TenantQuotaExceeded 10201 403 false "Tenant quota exceeded: %s" "租户配额不足: %s";
    HostNotExist 12000 404 false "Host not exist" "宿主机不存在";
    HostInsufficient 12001 409 true "Host resource insufficient: %s" "宿主机资源不足: %s";
    HostInMaintenance 12002 409 true "Host in maintenance" "宿主机维护中";
    HostNotLocal 12003 404 false "Host not local: %s" "非本机宿主机: %s";
    VmNotExist 13000 404 false "Vm not exist" "虚拟机不存在";
    VmNameExist 13001 409 false "Vm name already exist" "虚拟机名称已存在";
    VmStateNotAllowed 13002 409 false "Vm state not allowed: %s" "虚拟机状态不允许: %s";
    VmCreateFailed 13003 500 false "Vm create failed: %s" "虚拟机创建失败: %s";
    VmStartFailed 13004 500 false "Vm start failed: %s" "虚拟机启动失败: %s";
    VmStopFailed 13005 500 false "Vm stop failed: %s" "虚拟机停止失败: %s";
    VmRebootFailed 13006 500 false "Vm reboot failed: %s" "虚拟机重启失败: %s";
    VmPauseFailed 13007 500 false "Vm pause failed: %s" "虚拟机暂停失败: %s";
    VmResumeFailed 13008 500 false "Vm resume failed: %s" "虚拟机恢复失败: %s";
    VmDeleteFailed 13009 500 false "Vm delete failed: %s" "虚拟机删除失败: %s";
    VmBusy 13010 409 true "Vm busy: %s" "虚拟机忙: %s";
    VmUpdateFailed 13011 500 false "Vm update failed: %s" "虚拟机更新失败: %s";
    VmResizeFailed 13012 500 false "Vm resize failed: %s" "虚拟机调整规格失败: %s";
    VmConsoleUnavailable 13013 404 true "Vm console unavailable: %s" "虚拟机控制台不可用: %s";
    VmLocked 13014 409 false "Vm locked" "虚拟机已锁定";
    /// Somebody else's VM.
    VmUnmanaged 13015 409 false "Vm not managed by this node: %s" "虚拟机不受本节点管理: %s";
    VmQuarantined 13016 409 false "Vm quarantined: %s" "虚拟机已隔离: %s";
    RepositoryNotExist 14000 404 false "Repository not exist" "镜像仓库不存在";
    RepositoryFull 14001 409 true "Repository space insufficient" "镜像仓库空间不足";
    ImageNotExist 14010 404 false "Image not exist" "镜像不存在";
    ImageAlreadyExist 14011 409 false "Image already exist" "镜像已存在";
    ImageFormatInvalid 14012 400 false "Image format invalid: %s" "镜像格式无效: %s";
    ImageDownloadFailed 14013 502 true "Image download failed: %s" "镜像下载失败: %s";
    ImageChecksumMismatch 14014 400 false "Image checksum mismatch" "镜像校验失败";
    ImageInUse 14015 409 false "Image in use: %s" "镜像正在使用: %s";
    ImageNotReady 14016 409 true "Image not ready" "镜像未就绪";
    NetworkNotExist 15000 404 false "Network not exist" "网络不存在";
    NetworkAlreadyExist 15001 409 false "Network already exist" "网络已存在";
    NetworkInUse 15002 409 false "Network in use: %s" "网络正在使用: %s";
    AddressInvalid 15003 400 false "Address invalid: %s" "地址无效: %s";
    AddressExhausted 15004 409 true "Address exhausted" "地址已耗尽";
    MacConflict 15005 409 false "Mac address conflict: %s" "MAC地址冲突: %s";
    DhcpFailed 15006 500 true "Dhcp operation failed: %s" "DHCP操作失败: %s";
    VipNotExist 15007 404 false "Vip not exist" "虚拟IP不存在";
    InterfaceNotExist 15008 404 false "Interface not exist" "网卡不存在";
    VolumeNotExist 16000 404 false "Usd not exist" "数据硬盘不存在";
    VolumeAlreadyExist 16001 409 false "Usd already exist" "数据硬盘已存在";
    VolumeAttached 16002 409 false "Usd already attached: %s" "数据硬盘已挂载: %s";
    VolumeNotAttached 16003 409 false "Usd not attached" "数据硬盘未挂载";
    StorageFull 16007 409 true "Storage space insufficient" "存储空间不足";
    SpecificationNotExist 17000 404 false "Specification not exist" "规格不存在";
    SpecificationAlreadyExist 17001 409 false "Specification already exist" "规格已存在";
    SpecificationInUse 17002 409 false "Specification in use" "规格正在使用";
    TimeRangeInvalid 19000 400 false "Time range invalid: %s" "时间范围无效: %s";
    StatisticsNotAvailable 19001 409 true "Statistics not available: %s" "统计数据不可用: %s";
    JobNotExist 20000 404 false "Job not exist" "任务不存在";
    JobCanceled 20001 409 false "Job canceled" "任务已取消";
    JobNotCancelable 20002 409 false "Job not cancelable" "任务不可取消";
    OperationNotExist 20003 404 false "Operation log not exist" "操作日志不存在";
}

/// A text in both languages.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Detail {
    /// English.
    pub en: String,
    /// Chinese.
    pub cn: String,
}

impl Detail {
    /// Different words for the two languages.
    pub fn both(en: impl Into<String>, cn: impl Into<String>) -> Self {
        Self { en: en.into(), cn: cn.into() }
    }
}

impl<T: Into<String>> From<T> for Detail {
    fn from(text: T) -> Self {
        let en = text.into();
        Self { cn: en.clone(), en }
    }
}

/// A place in the source; see [`here!`](crate::here).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Base name of the file.
    pub file: Cow<'static, str>,
    /// Function.
    pub function: Cow<'static, str>,
    /// Line.
    pub line: u32,
}

impl Place {
    /// Used by [`here!`](crate::here) only.
    pub fn new(file: &'static str, type_name: &'static str, line: u32) -> Self {
        let file = file.rsplit('/').next().unwrap_or(file);
        let path = type_name.strip_suffix("::marker").unwrap_or(type_name);
        let function = path.split("::").filter(|part| *part != "{{closure}}").last().unwrap_or(path);
        Self { file: Cow::Borrowed(file), function: Cow::Borrowed(function), line }
    }
}

/// The place of this call: file, enclosing function, line.
#[macro_export]
macro_rules! here {
    () => {{
        fn marker() {}
        fn name_of<T>(_: T) -> &'static str {
            ::std::any::type_name::<T>()
        }
        $crate::error::Place::new(file!(), name_of(marker), line!())
    }};
}

/// Makes an [`AgentError`]: `fail!(Code)`, `fail!(Code, "text {x}")`, or with both languages `fail!(Code, "text {x}"; "中文 {x}")`.
#[macro_export]
macro_rules! fail {
    ($code:ident) => {
        $crate::error::AgentError::at($crate::here!(), $crate::error::ErrorCode::$code, $crate::error::Detail::default())
    };
    ($code:ident, $en:literal; $cn:literal) => {
        $crate::error::AgentError::at(
            $crate::here!(),
            $crate::error::ErrorCode::$code,
            $crate::error::Detail::both(format!($en), format!($cn)),
        )
    };
    ($code:ident, $en:literal) => {
        $crate::error::AgentError::at($crate::here!(), $crate::error::ErrorCode::$code, $crate::error::Detail::from(format!($en)))
    };
    ($code:ident, $detail:expr) => {
        $crate::error::AgentError::at($crate::here!(), $crate::error::ErrorCode::$code, $crate::error::Detail::from($detail))
    };
}

/// Adds the current place to an error on its way up: `result.map_err(at!())`.
#[macro_export]
macro_rules! at {
    () => {
        |error: $crate::error::AgentError| error.passing($crate::here!())
    };
}

/// Most places kept per error.
pub const PLACES_MAX: usize = 16;

/// What went wrong. Cheap to clone, so that one failure can be told to every waiter.
#[derive(Clone)]
pub struct AgentError(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    code: ErrorCode,
    detail: Detail,
    places: Vec<Place>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl AgentError {
    /// A new error made at `place`; use [`fail!`](crate::fail).
    pub fn at(place: Place, code: ErrorCode, detail: impl Into<Detail>) -> Self {
        Self(Arc::new(Inner { code, detail: detail.into(), places: vec![place], source: None }))
    }

    /// With the error that caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.0).source = Some(Arc::new(source));
        self
    }

    /// Adds a place it passed on its way up; use [`at!`](crate::at).
    #[must_use]
    pub fn passing(mut self, place: Place) -> Self {
        let inner = Arc::make_mut(&mut self.0);
        if inner.places.len() < PLACES_MAX {
            inner.places.push(place);
        }
        self
    }

    /// For answers that do not tell whether it was the user or the password that is wrong.
    #[must_use]
    pub fn without_user_hint(self) -> Self {
        match self.code() {
            ErrorCode::UserNotExist => Self(Arc::new(Inner { code: ErrorCode::PasswordWrong, ..Arc::unwrap_or_clone(self.0) })),
            _ => self,
        }
    }

    /// Its code.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// What is wrong and what would be right, without the code's own text.
    pub fn detail(&self) -> &Detail {
        &self.0.detail
    }

    /// Places, innermost first.
    pub fn places(&self) -> &[Place] {
        &self.0.places
    }

    /// The whole English message.
    pub fn message(&self) -> String {
        fill(self.code().text(), &self.0.detail.en)
    }

    /// The whole Chinese message.
    pub fn message_cn(&self) -> String {
        fill(self.code().text_cn(), &self.0.detail.cn)
    }

    /// Message and every cause, for the log.
    pub fn chain(&self) -> String {
        let mut text = self.message();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }

    /// As it is stored with a job.
    pub fn record(&self) -> ErrorRecord {
        ErrorRecord { code: self.code(), detail: self.0.detail.clone(), places: self.0.places.clone() }
    }
}

fn fill(text: &str, detail: &str) -> String {
    if detail.is_empty() { text.trim_end_matches(": %s").to_owned() } else { text.replacen("%s", detail, 1) }
}

impl fmt::Display for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

impl fmt::Debug for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.code(), self.chain())
    }
}

impl std::error::Error for AgentError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|s| s as _)
    }
}

/// An error as stored with a job or an operation: no cause chain, that stands in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorRecord {
    /// Code.
    pub code: ErrorCode,
    /// Detail.
    pub detail: Detail,
    /// Places, innermost first.
    pub places: Vec<Place>,
}

impl From<ErrorRecord> for AgentError {
    fn from(record: ErrorRecord) -> Self {
        Self(Arc::new(Inner { code: record.code, detail: record.detail, places: record.places, source: None }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique() {
        let mut numbers: Vec<_> = ErrorCode::ALL.iter().map(|c| c.number()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), ErrorCode::ALL.len());
    }

    #[test]
    fn english_starts_with_one_capital_and_both_languages_place_the_detail() {
        for code in ErrorCode::ALL {
            assert!(code.text().starts_with(|c: char| c.is_ascii_uppercase()), "{code:?}");
            assert_eq!(code.text().contains("%s"), code.text_cn().contains("%s"), "{code:?}");
        }
    }

    #[test]
    fn an_error_knows_the_function_it_was_made_in_and_passed_through() {
        fn inner() -> AgentError {
            fail!(VmBusy, "job 1"; "任务 1")
        }
        let error = Err::<(), _>(inner()).map_err(at!()).unwrap_err();
        assert_eq!(error.places()[0].function, "inner");
        assert_eq!(error.places()[0].file, "error.rs");
        assert_eq!(error.places()[1].function, "an_error_knows_the_function_it_was_made_in_and_passed_through");
        assert_eq!((error.message(), error.message_cn()), ("Vm busy: job 1".into(), "虚拟机忙: 任务 1".into()));
    }

    #[tokio::test]
    async fn closures_and_async_blocks_do_not_hide_the_function() {
        let error = async { fail!(Timeout) }.await;
        assert_eq!(error.places()[0].function, "closures_and_async_blocks_do_not_hide_the_function");
        assert_eq!(error.message(), "Operation timeout");
    }

    #[test]
    fn places_are_bounded() {
        let mut error = fail!(Internal);
        for _ in 0..100 {
            error = at!()(error);
        }
        assert_eq!(error.places().len(), PLACES_MAX);
    }
}
