//! Who may do what, for every route and message of every dialect: each row of a dialect's table has one of these classes, and here stands
//! which role each class needs. `docs/roles.md` is made from the tables.

use hvnode_core::model::{Caller, Role};
use hvnode_core::{AgentError, Result, fail};

/// What a route or message is, for the question who may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Versions, health, log-in: anybody, without a token.
    Public,
    /// About the caller's own session, password and tokens.
    Own,
    /// Reads what is no secret.
    Read,
    /// Reads or opens a console: a screen is a keyboard too, and a serial console shows the passwords that guests print.
    Console,
    /// Reads who did what from where.
    Log,
    /// Changes VMs and what belongs to them.
    Change,
    /// Accounts, tokens of others, who was refused.
    Administer,
}

impl Access {
    /// Every class.
    pub const ALL: [Self; 7] = [Self::Public, Self::Own, Self::Read, Self::Console, Self::Log, Self::Change, Self::Administer];

    /// The least role; `None` where no token is needed.
    pub fn least_role(self) -> Option<Role> {
        match self {
            Self::Public => None,
            Self::Own | Self::Read => Some(Role::Reader),
            Self::Console | Self::Log | Self::Change => Some(Role::Operator),
            Self::Administer => Some(Role::Admin),
        }
    }

    /// Who may, in a document: a role, or nobody in particular.
    pub fn words(self) -> &'static str {
        self.least_role().map_or("nobody: no token", role_word)
    }

    /// May this caller?
    ///
    /// # Errors
    /// `PermissionDenied` with the role that is needed and the one there is.
    pub fn check(self, caller: &Caller) -> Result<()> {
        match self.least_role() {
            Some(least) if caller.role < least => Err(too_little(least, caller.role)),
            _ => Ok(()),
        }
    }
}

fn too_little(least: Role, own: Role) -> AgentError {
    let (least, own) = (role_word(least), role_word(own));
    fail!(PermissionDenied, "this needs the role {least}, the caller has {own}"; "需要 {least} 角色, 当前为 {own}")
}

/// The word for a role in every dialect that has no own one, in configuration and documents.
pub fn role_word(role: Role) -> &'static str {
    match role {
        Role::Reader => "reader",
        Role::Operator => "operator",
        Role::Admin => "admin",
    }
}

/// The role that a word stands for.
pub fn role_of(word: &str) -> Option<Role> {
    [Role::Reader, Role::Operator, Role::Admin].into_iter().find(|role| role_word(*role) == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_may_do_all_that_a_lesser_one_may_and_no_more() {
        let of = |role| Caller { role, ..Caller::system() };
        for access in Access::ALL {
            let may: Vec<bool> =
                [Role::Reader, Role::Operator, Role::Admin].map(|role| access.check(&of(role)).is_ok()).into_iter().collect();
            assert!(may.is_sorted(), "{access:?}");
            assert!(may[2], "an admin may do everything: {access:?}");
        }
        let error = Access::Console.check(&of(Role::Reader)).unwrap_err();
        assert_eq!(error.message(), "Permission denied: this needs the role operator, the caller has reader");
        assert_eq!(error.message_cn(), "权限不足: 需要 operator 角色, 当前为 reader");
        assert_eq!(role_of("operator"), Some(Role::Operator));
        assert_eq!(role_of("root"), None);
    }
}
