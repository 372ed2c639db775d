//! Password hashes: `argon2id(sha512_hex(password))`, computed off the async threads, few at a time.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hvnode_core::{Result, fail};
use sha2::{Digest, Sha256, Sha512};
use std::sync::{Arc, OnceLock};
use tokio::sync::Semaphore;

/// Hashes computed at the same time. Each takes 19 MiB and a processor for some tens of milliseconds.
const HASHES_AT_ONCE: usize = 2;
/// Log-ins that may wait for their turn; more are refused.
const HASHES_WAITING: usize = 62;

/// Computes and checks password hashes, bounded in memory and processors.
#[derive(Debug)]
pub(super) struct PasswordHasherPool {
    admitted: Semaphore,
    running: Semaphore,
    params: Params,
    /// Checked in place of the hash of a user that does not exist, so that both take the same time. Made when first needed: a start
    /// does not wait for it.
    decoy: Arc<OnceLock<String>>,
}

impl PasswordHasherPool {
    /// A pool hashing with `params`.
    pub(super) fn new(params: Params) -> Self {
        let admitted = Semaphore::new(HASHES_AT_ONCE + HASHES_WAITING);
        Self { admitted, running: Semaphore::new(HASHES_AT_ONCE), params, decoy: Arc::default() }
    }

    /// The PHC string for a plain password.
    pub(super) async fn hash(&self, password: &str) -> Result<String> {
        let (params, password) = (self.params.clone(), password.to_owned());
        self.run(move || hash_now(&params, &password)).await?
    }

    /// Is `password` the one that `stored` was made from? Without a stored hash it takes as long and says no.
    pub(super) async fn verify(&self, password: Password<'_>, stored: Option<&str>) -> Result<bool> {
        let (stored, password) = (stored.map(str::to_owned), password.digest());
        let (params, decoy) = (self.params.clone(), self.decoy.clone());
        self.run(move || {
            // Made by whoever comes first, known or not: also then the time tells nothing.
            let decoy = match decoy.get() {
                Some(made) => made,
                None => {
                    let made = hash_now(&params, &random_text(16))?;
                    decoy.get_or_init(|| made)
                }
            };
            match stored {
                Some(stored) => verify_now(&stored, &password),
                None => verify_now(decoy, &password).map(|_| false),
            }
        })
        .await?
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let Ok(_admitted) = self.admitted.try_acquire() else {
            return Err(fail!(TooManyRequests, "too many log-ins at once"; "同时登录的请求过多"));
        };
        let _running = self.running.acquire().await.map_err(|error| fail!(Internal).caused_by(error))?;
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| fail!(Internal, "a password check broke off"; "密码校验中断").caused_by(error))
    }
}

/// A password as a client sends it.
#[derive(Clone, Copy)]
pub enum Password<'a> {
    /// As it was typed.
    Plain(&'a str),
    /// Its SHA-512 in hexadecimal, either case.
    Sha512Hex(&'a str),
}

impl std::fmt::Debug for Password<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password")
    }
}

impl Password<'_> {
    fn digest(self) -> String {
        match self {
            Self::Plain(text) => sha512_hex(text),
            Self::Sha512Hex(hex) => hex.to_ascii_lowercase(),
        }
    }
}

/// A random text of `bytes` random bytes in URL-safe base64.
pub(super) fn random_text(bytes: usize) -> String {
    let mut buffer = vec![0_u8; bytes];
    rand::fill(&mut buffer[..]);
    URL_SAFE_NO_PAD.encode(buffer)
}

/// Lower-case hexadecimal SHA-256, the form in which tokens are stored.
pub(super) fn sha256_hex(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

fn hash_now(params: &Params, password: &str) -> Result<String> {
    let mut salt = [0_u8; 16];
    rand::fill(&mut salt);
    let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
        .hash_password_with_salt(sha512_hex(password).as_bytes(), &salt)
        .map_err(|error| fail!(Internal, "the password could not be hashed"; "无法计算密码散列").caused_by(error))?;
    Ok(hash.to_string())
}

/// `digest`: the hexadecimal SHA-512 of the password.
fn verify_now(stored: &str, digest: &str) -> Result<bool> {
    let unreadable = |error| fail!(Internal, "a stored password hash cannot be read"; "已存储的密码散列无法读取").caused_by(error);
    let hash = PasswordHash::new(stored).map_err(unreadable)?;
    match Argon2::default().verify_password(digest.as_bytes(), &hash) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(fail!(Internal, "a password could not be checked"; "无法校验密码").caused_by(error)),
    }
}

fn sha512_hex(text: &str) -> String {
    hex(&Sha512::digest(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    // Runs for every request that brings a token.
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quick() -> Params {
        Params::new(8, 1, 1, None).unwrap()
    }

    #[test]
    fn sha512_is_the_one_that_other_clients_send() {
        assert!(sha512_hex("password").starts_with("b109f3bb") && sha512_hex("password").ends_with("0cacbc86"));
    }

    #[tokio::test]
    async fn a_hash_matches_its_password_only_and_no_hash_matches_nothing() {
        let pool = PasswordHasherPool::new(quick());
        let hash = pool.hash("right").await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$"));
        let digest = sha512_hex("right").to_uppercase();
        assert!(pool.verify(Password::Sha512Hex(&digest), Some(&hash)).await.unwrap());
        assert!(pool.verify(Password::Plain("right"), Some(&hash)).await.unwrap());
        assert!(!pool.verify(Password::Plain("wrong"), Some(&hash)).await.unwrap());
        assert!(!pool.verify(Password::Plain("right"), None).await.unwrap());
        assert_ne!(hash, pool.hash("right").await.unwrap(), "salted");
    }

    #[tokio::test]
    async fn an_unreadable_hash_is_an_error_and_not_a_refusal() {
        let pool = PasswordHasherPool::new(quick());
        assert!(pool.verify(Password::Plain("x"), Some("not a hash")).await.is_err());
    }

    #[test]
    fn tokens_have_256_random_bits_in_43_characters() {
        let (first, second) = (random_text(32), random_text(32));
        assert_eq!(first.len(), 43);
        assert_ne!(first, second);
    }
}
