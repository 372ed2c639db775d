//! Which URLs are fetched from: decided by the text and the configuration alone.

use crate::address::check_host;
use crate::config::ImageConfig;
use hvnode_core::{Result, fail};
use reqwest::Url;
use std::path::{Component, PathBuf};

/// Where bytes come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// An absolute path, textually inside an allowed folder. Symbolic links are looked at when it is opened.
    File(PathBuf),
    /// A server.
    Http(Url),
}

/// Reads a URL and refuses what the configuration does not allow.
pub(crate) fn parse(config: &ImageConfig, text: &str) -> Result<Source> {
    let allowed = allowed_schemes(config);
    let Ok(url) = Url::parse(text) else {
        return Err(fail!(ParameterInvalid, "url is not a URL, wanted is one of {allowed}"; "url 不是有效的URL, 应为 {allowed} 之一"));
    };
    match url.scheme() {
        "file" if !config.allowed_folders.is_empty() => file_path(config, &url).map(Source::File),
        "http" if config.allow_http => server(config, url),
        "https" if config.allow_https => server(config, url),
        _ => Err(fail!(ParameterInvalid, "url must be one of {allowed}"; "url 应为 {allowed} 之一")),
    }
}

fn server(config: &ImageConfig, url: Url) -> Result<Source> {
    check_host(config, &url).map_err(|refused| fail!(ParameterInvalid, refused.detail("url")))?;
    Ok(Source::Http(url))
}

fn file_path(config: &ImageConfig, url: &Url) -> Result<PathBuf> {
    let path = url.to_file_path().ok().filter(|path| {
        // An encoded separator can bring `..` past the URL parser.
        path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
            && !path.as_os_str().as_encoded_bytes().contains(&0)
            && config.allowed_folders.iter().any(|folder| path.starts_with(folder) && *path != *folder)
    });
    path.ok_or_else(|| {
        let folders = config.allowed_folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ");
        fail!(ParameterInvalid, "url must name a file inside one of the allowed folders: {folders}"; "url 必须指向允许的目录内的文件: {folders}")
    })
}

fn allowed_schemes(config: &ImageConfig) -> String {
    let schemes = [("file:", !config.allowed_folders.is_empty()), ("http:", config.allow_http), ("https:", config.allow_https)];
    let allowed: Vec<_> = schemes.into_iter().filter(|(_, is_allowed)| *is_allowed).map(|(scheme, _)| scheme).collect();
    if allowed.is_empty() { "none (all are off in the configuration)".to_owned() } else { allowed.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hvnode_core::ErrorCode;
    use proptest::prelude::*;

    fn config() -> ImageConfig {
        ImageConfig { allowed_folders: vec!["/srv/images".into()], ..ImageConfig::default() }
    }

    fn path(url: &str) -> Option<String> {
        match parse(&config(), url) {
            Ok(Source::File(path)) => Some(path.display().to_string()),
            Ok(Source::Http(_)) => None,
            Err(error) => {
                assert_eq!(error.code(), ErrorCode::ParameterInvalid);
                None
            }
        }
    }

    #[test]
    fn files_inside_an_allowed_folder_are_accepted_however_they_are_spelt() {
        for url in ["file:///srv/images/a b.img", "file:/srv/images/a%20b.img", "file://localhost/srv/images/x/../a b.img"] {
            assert_eq!(path(url).as_deref(), Some("/srv/images/a b.img"), "{url}");
        }
    }

    #[test]
    fn everything_outside_is_refused() {
        let urls = [
            "file:///etc/shadow",
            "file:///srv/images/../../etc/shadow",
            "file:///srv/images/..%2f..%2fetc/shadow",
            "file:///srv/images/%2e%2e/%2e%2e/etc/shadow",
            "file:///srv/images-other/a",
            "file:///srv/images",
            "file:///srv/images/",
            "file:///srv/images/a%00b",
            "file://host/srv/images/a",
            "/srv/images/a",
            "ftp://host/a",
            "data:,x",
            "",
        ];
        for url in urls {
            assert_eq!(path(url), None, "{url}");
        }
    }

    #[test]
    fn schemes_can_be_switched_off() {
        let off = ImageConfig { allow_http: false, allow_https: false, ..ImageConfig::default() };
        for url in ["http://example.org/a", "https://example.org/a", "file:///srv/images/a"] {
            assert!(parse(&off, url).is_err(), "{url}");
            assert!(parse(&config(), url).is_ok(), "{url}");
        }
        let error = parse(&ImageConfig { allow_http: false, ..config() }, "http://example.org/a").unwrap_err();
        assert_eq!(error.message(), "Parameter invalid: url must be one of file:, https:");
    }

    #[test]
    fn hosts_written_as_private_addresses_are_refused_in_every_spelling() {
        for host in ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "[::1]", "[::ffff:10.0.0.1]", "169.254.169.254", "10.1.2.3"] {
            assert!(parse(&config(), &format!("http://{host}/a")).is_err(), "{host}");
            let open = ImageConfig { allow_private_addresses: true, ..config() };
            assert!(parse(&open, &format!("http://{host}/a")).is_ok(), "{host}");
        }
    }

    proptest! {
        #[test]
        fn no_text_leads_outside_the_allowed_folder(text in "(file:)?/{0,4}(srv/images/)?[a-z./%2ef\\\\]{0,30}") {
            if let Ok(Source::File(path)) = parse(&config(), &text) {
                prop_assert!(path.starts_with("/srv/images/"));
                prop_assert!(path.components().all(|part| part != Component::ParentDir));
            }
        }
    }
}
