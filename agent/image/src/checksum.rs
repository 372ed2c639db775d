//! Checksums: the one that was promised and those that are computed.

use hvnode_core::{Result, fail};
use sha2::{Digest, Sha256, Sha512};
use std::fmt::Write;

/// What the caller says the bytes add up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// SHA-256 in lower-case hexadecimal.
    Sha256(String),
    /// SHA-512 in lower-case hexadecimal.
    Sha512(String),
}

impl Wanted {
    /// `sha256:<hex>`, `sha512:<hex>` or bare hex; empty is none.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>> {
        let lower = text.trim().to_ascii_lowercase();
        if lower.is_empty() {
            return Ok(None);
        }
        let (algorithm, hex) = lower.split_once(':').unwrap_or(("", &lower));
        let is_hex = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        match (algorithm, hex.len()) {
            ("" | "sha256", 64) if is_hex => Ok(Some(Self::Sha256(hex.to_owned()))),
            ("" | "sha512", 128) if is_hex => Ok(Some(Self::Sha512(hex.to_owned()))),
            _ => Err(fail!(
                ParameterInvalid,
                "checksum must be sha256: and 64, or sha512: and 128 hexadecimal digits";
                "checksum 应为 sha256: 加64位或 sha512: 加128位十六进制数"
            )),
        }
    }
}

/// Hashes that grow with the bytes.
#[derive(Debug, Clone)]
pub(crate) struct Hashes {
    sha256: Sha256,
    /// Only where it is wanted: it costs as much again.
    sha512: Option<Sha512>,
}

impl Hashes {
    pub(crate) fn new(wanted: Option<&Wanted>) -> Self {
        Self { sha256: Sha256::new(), sha512: matches!(wanted, Some(Wanted::Sha512(_))).then(Sha512::new) }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
    }

    /// `sha256:<hex>` of everything, if it is what was wanted.
    pub(crate) fn verify(self, wanted: Option<&Wanted>) -> Result<String> {
        let sha256 = hex(&self.sha256.finalize());
        let is_good = match wanted {
            None => true,
            Some(Wanted::Sha256(wanted)) => *wanted == sha256,
            Some(Wanted::Sha512(wanted)) => self.sha512.is_some_and(|sha512| *wanted == hex(&sha512.finalize())),
        };
        if is_good { Ok(format!("sha256:{sha256}")) } else { Err(fail!(ImageChecksumMismatch)) }
    }
}

/// Lower-case hexadecimal SHA-256 of a short text.
pub(crate) fn sha256_hex(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hvnode_core::ErrorCode;

    const ABC_256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const ABC_512: &str =
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";

    fn verify(bytes: &str, wanted: &str) -> Result<String> {
        let wanted = Wanted::parse(wanted)?;
        let mut hashes = Hashes::new(wanted.as_ref());
        hashes.update(bytes.as_bytes());
        hashes.verify(wanted.as_ref())
    }

    #[test]
    fn every_spelling_of_the_right_checksum_is_accepted() {
        for wanted in ["", ABC_256, ABC_512, &format!("sha256:{ABC_256}"), &format!("SHA512:{}", ABC_512.to_uppercase())] {
            assert_eq!(verify("abc", wanted).unwrap(), format!("sha256:{ABC_256}"), "{wanted}");
        }
    }

    #[test]
    fn wrong_bytes_and_wrong_texts_are_told_apart() {
        for wanted in [ABC_256, ABC_512] {
            assert_eq!(verify("abd", wanted).unwrap_err().code(), ErrorCode::ImageChecksumMismatch);
        }
        for wanted in ["md5:x", "abc", "sha256:", &format!("sha512:{ABC_256}"), &"g".repeat(64), ":"] {
            assert_eq!(verify("abc", wanted).unwrap_err().code(), ErrorCode::ParameterInvalid, "{wanted}");
        }
    }
}
