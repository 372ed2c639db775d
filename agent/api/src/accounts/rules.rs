//! What a password must be.

use hvnode_core::{Result, fail};

/// Longest password in bytes.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// The first that are tried everywhere, in lower case.
const WELL_KNOWN: [&str; 22] = [
    "password",
    "password1",
    "password123",
    "passw0rd",
    "p@ssw0rd",
    "12345678",
    "123456789",
    "1234567890",
    "87654321",
    "11111111",
    "qwertyui",
    "qwertyuiop",
    "qwerty123",
    "1q2w3e4r",
    "iloveyou",
    "changeme",
    "changeit",
    "letmein1",
    "admin123",
    "administrator",
    "hvnode123",
    "opensesame",
];

/// Is `password` one that the account `user_name` may have?
///
/// # Errors
/// `ParameterInvalid` naming `field` and what would be right; never the password.
pub fn check_password(field: &str, user_name: &str, password: &str, length_min: usize) -> Result<()> {
    let length = password.chars().count();
    if password.is_empty() {
        return Err(fail!(ParameterInvalid, "{field} must not be empty"; "{field} 不能为空"));
    }
    if length < length_min {
        return Err(fail!(ParameterInvalid,
            "{field} must have at least {length_min} characters, it has {length}"; "{field} 至少需要 {length_min} 个字符, 实际 {length} 个"));
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(
            fail!(ParameterInvalid, "{field} must have at most {PASSWORD_BYTES_MAX} bytes"; "{field} 最多 {PASSWORD_BYTES_MAX} 字节"),
        );
    }
    if password.chars().any(char::is_control) {
        return Err(fail!(ParameterInvalid, "{field} must not contain control characters"; "{field} 不能包含控制字符"));
    }
    let lower = password.to_lowercase();
    if lower.trim() == user_name.to_lowercase() {
        return Err(fail!(ParameterInvalid, "{field} must not be the user name"; "{field} 不能与用户名相同"));
    }
    let first = lower.chars().next();
    if WELL_KNOWN.contains(&lower.as_str()) || lower.chars().all(|c| Some(c) == first) {
        return Err(fail!(ParameterInvalid, "{field} is one that everybody tries first"; "{field} 过于常见, 极易被猜中"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(user_name: &str, password: &str) -> String {
        check_password("password", user_name, password, 8).unwrap_err().message()
    }

    #[test]
    fn a_password_that_may_not_be_is_refused_with_what_would_be_right_and_without_itself() {
        assert!(message("anna", "short").ends_with("password must have at least 8 characters, it has 5"));
        assert!(message("anna", "").contains("must not be empty"));
        assert!(message("Annabella", "annaBELLA").contains("must not be the user name"));
        assert!(message("anna", "Password123").contains("tries first") && message("anna", "zzzzzzzzzzz").contains("tries first"));
        assert!(message("anna", "with\nnewline").contains("control characters"));
        let long = message("anna", &"x1".repeat(600));
        assert!(long.contains("at most 1024 bytes") && !long.contains("x1x1"));
    }

    #[test]
    fn length_is_counted_in_characters_of_any_script() {
        assert!(check_password("password", "anna", "长江后浪推前浪一", 8).is_ok());
        assert!(check_password("password", "anna", "correct horse", 8).is_ok());
    }
}
