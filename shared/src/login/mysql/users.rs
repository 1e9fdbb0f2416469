//! Users and their passwords.
//!
//! An account is a name and the hosts that it may come from, and may stand there several times. The twin is given every host of the
//! first user, its demands on the connection, and what it is granted, as in AWS's own rotation function. Roles would do without
//! copying, but MySQL has them from 8.0 on only, and they are not active by themselves.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use super::error::Failure;
use super::{identifier, literal};

pub(super) async fn change_own_password(session: &mut Conn, to: &str) -> Result<(), Failure> {
    let change = match is_mariadb(session).await? {
        true => Zeroizing::new(format!("set password = {}", literal(&native_hash(to)))),
        false => Zeroizing::new(format!("alter user user() identified by {}", *Zeroizing::new(literal(to)))),
    };
    Ok(session.query_drop(change.as_str()).await?)
}

/// Done again after a break it completes what is missing: neither server creates a user and its rights at once.
pub(super) async fn ensure_twin(session: &mut Conn, user: &str, twin: &str, password: &str) -> Result<(), Failure> {
    let identified = match is_mariadb(session).await? {
        true => Zeroizing::new(format!("identified by password {}", literal(&native_hash(password)))),
        false => Zeroizing::new(format!("identified by {}", *Zeroizing::new(literal(password)))),
    };
    let hosts: Vec<String> = session.query(format!("select host from mysql.user where user = {}", literal(user))).await?;
    if hosts.is_empty() {
        return Err(Failure::Unsettled("it has no user of the secret's name, so there is nobody whose rights the other one could be given"));
    }
    for host in hosts {
        let (ours, theirs) = (account(user, &host), account(twin, &host));
        let created: Option<String> = session.query_first(format!("show create user {ours}")).await?;
        let demands = created.as_deref().map(demands).unwrap_or_default();
        session.query_drop(format!("create user if not exists {theirs}")).await?;
        let alter = Zeroizing::new(format!("alter user {theirs} {} {demands}", *identified));
        session.query_drop(alter.as_str()).await?;
        let grants: Vec<String> = session.query(format!("show grants for {ours}")).await?;
        for grant in grants.iter().filter_map(|grant| grant_to(grant, &ours, &theirs)) {
            session.query_drop(grant).await?;
        }
        if let Some(roles) = created.as_deref().and_then(default_roles) {
            session.query_drop(format!("alter user {theirs} default role {roles}")).await?;
        }
    }
    Ok(())
}

pub(super) async fn is_mariadb(session: &mut Conn) -> Result<bool, Failure> {
    let version: Option<String> = session.query_first("select version()").await?;
    Ok(version.is_some_and(|version| version.contains("MariaDB")))
}

/// As both servers write it.
fn account(user: &str, host: &str) -> String {
    format!("{}@{}", identifier(user), identifier(host))
}

/// What the first user's connections must be, from `show create user`. What comes after it (limits, expiry, a lock) is its own.
fn demands(created: &str) -> &str {
    let Some(from) = created.find(" REQUIRE ").map(|at| at + 1) else { return "" };
    let demands = &created[from..];
    let end = [" WITH ", " PASSWORD ", " ACCOUNT ", " DEFAULT ROLE "].into_iter().filter_map(|next| demands.find(next)).min();
    &demands[..end.unwrap_or(demands.len())]
}

/// MySQL's, from `show create user`: roles that are active from the login on. MariaDB lists its one with the grants.
fn default_roles(created: &str) -> Option<&str> {
    let (_, roles) = created.split_once(" DEFAULT ROLE ")?;
    roles.split(" REQUIRE ").next()
}

/// A line of `show grants` for the other user; `None` for one that grants nothing, and for one that names somebody else, as the proxy
/// right of an admin does.
fn grant_to(grant: &str, ours: &str, theirs: &str) -> Option<String> {
    if let Some((role, _)) = grant.split_once(&format!(" FOR {ours}")).filter(|(role, _)| role.starts_with("SET DEFAULT ROLE ")) {
        return Some(format!("{role} FOR {theirs}"));
    }
    let (what, more) = grant.split_once(&format!(" TO {ours}"))?;
    if !what.starts_with("GRANT ") || what == "GRANT USAGE ON *.*" || what.starts_with("GRANT PROXY") {
        return None;
    }
    let option = ["WITH GRANT OPTION", "WITH ADMIN OPTION"].into_iter().find(|option| more.contains(option)).unwrap_or_default();
    Some(format!("{what} TO {theirs} {option}"))
}

/// What mysql_native_password keeps: SHA-1 of the SHA-1.
fn native_hash(password: &str) -> String {
    let hash = Sha1::digest(Sha1::digest(password.as_bytes()));
    hash.iter().fold("*".to_owned(), |text, byte| format!("{text}{byte:02X}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_hashed_as_the_server_would_have() {
        // select password('password'), as the manual prints it
        assert_eq!(native_hash("password"), "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19");
    }

    #[test]
    fn the_other_user_is_granted_what_the_first_one_has_and_not_its_password() {
        let to = |grant: &str| grant_to(grant, "`app`@`%`", "`app_clone`@`%`");
        assert_eq!(to("GRANT USAGE ON *.* TO `app`@`%` IDENTIFIED BY PASSWORD '*24' REQUIRE SSL"), None);
        assert_eq!(to("GRANT SELECT, INSERT ON `shop`.* TO `app`@`%`").as_deref(), Some("GRANT SELECT, INSERT ON `shop`.* TO `app_clone`@`%` "));
        let with_option = "GRANT ALL PRIVILEGES ON *.* TO `app`@`%` IDENTIFIED BY PASSWORD '*24' WITH GRANT OPTION";
        assert_eq!(to(with_option).as_deref(), Some("GRANT ALL PRIVILEGES ON *.* TO `app_clone`@`%` WITH GRANT OPTION"));
        assert_eq!(to("GRANT `reader` TO `app`@`%`").as_deref(), Some("GRANT `reader` TO `app_clone`@`%` "));
        assert_eq!(to("GRANT PROXY ON ''@'%' TO `app`@`%` WITH GRANT OPTION"), None);
        assert_eq!(to("SET DEFAULT ROLE `reader` FOR `app`@`%`").as_deref(), Some("SET DEFAULT ROLE `reader` FOR `app_clone`@`%`"));
    }

    #[test]
    fn the_other_users_connections_must_be_as_the_first_ones() {
        let mariadb = "CREATE USER `app`@`%` IDENTIFIED BY PASSWORD '*24' REQUIRE SSL WITH MAX_USER_CONNECTIONS 3";
        assert_eq!(demands(mariadb), "REQUIRE SSL");
        let mysql = "CREATE USER `app`@`%` IDENTIFIED WITH 'caching_sha2_password' AS '$A$' REQUIRE NONE PASSWORD EXPIRE DEFAULT ACCOUNT UNLOCK";
        assert_eq!(demands(mysql), "REQUIRE NONE");
        assert_eq!(default_roles(mysql), None);
        let with_role = "CREATE USER `app`@`%` IDENTIFIED WITH 'caching_sha2_password' AS '$A$' DEFAULT ROLE `r`@`%` REQUIRE SSL PASSWORD EXPIRE";
        assert_eq!((default_roles(with_role), demands(with_role)), (Some("`r`@`%`"), "REQUIRE SSL"));
        assert_eq!(demands("CREATE USER `app`@`%` IDENTIFIED BY PASSWORD '*24'"), "");
    }

    #[test]
    fn names_and_texts_cannot_end_their_quotes() {
        assert_eq!(account("a`b", "%"), "`a``b`@`%`");
        assert_eq!(literal(r"it's \"), r"'it''s \'");
    }
}
