//! The databases as those who log in see them: users and their passwords, for each host.
//!
//! Whether a host is in recovery, [`DatabaseWorld`] says. A host that is first met has the users that the primary had:
//! replicas and copies are made of its data, and go their own ways from then on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use relight::ports::{Login, LoginError, Proof, Seen};
use relight::secret::SecretValue;
use relight::state::Place;

use crate::Calls;
use crate::database::DatabaseWorld;

/// One change of a password, or a new user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordChange {
    pub host: String,
    pub user: String,
}

#[derive(Debug, Default)]
struct Servers {
    /// What the primary's data hold.
    users: BTreeMap<String, String>,
    hosts: BTreeMap<String, BTreeMap<String, String>>,
    /// Users that hold another's rights.
    members: Vec<(String, String)>,
    changes: Vec<PasswordChange>,
    unreachable: Vec<String>,
    /// Every password that there ever was.
    passwords: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct LoginWorld {
    calls: Calls,
    database: DatabaseWorld,
    servers: Rc<RefCell<Servers>>,
}

impl LoginWorld {
    pub fn of(calls: Calls, database: DatabaseWorld) -> LoginWorld {
        LoginWorld { calls, database, servers: Rc::default() }
    }

    /// A user of the primary's data, and so of every host that is met later.
    pub fn add_user(&self, user: &str, password: &str) {
        let mut servers = self.servers.borrow_mut();
        servers.users.insert(user.to_owned(), password.to_owned());
        servers.passwords.push(password.to_owned());
    }

    /// The password of a user at one host, set by somebody else.
    pub fn set_password(&self, host: &str, user: &str, password: &str) {
        self.users_of(host, |users| users.insert(user.to_owned(), password.to_owned()));
        self.servers.borrow_mut().passwords.push(password.to_owned());
    }

    pub fn password(&self, host: &str, user: &str) -> Option<String> {
        self.users_of(host, |users| users.get(user).cloned())
    }

    pub fn changes(&self) -> Vec<PasswordChange> {
        self.servers.borrow().changes.clone()
    }

    /// Users that were made members of another's role, `(member, of)`.
    pub fn members(&self) -> Vec<(String, String)> {
        self.servers.borrow().members.clone()
    }

    pub fn set_unreachable(&self, host: &str, unreachable: bool) {
        let mut servers = self.servers.borrow_mut();
        servers.unreachable.retain(|held| held != host);
        if unreachable {
            servers.unreachable.push(host.to_owned());
        }
    }

    /// Every password that ever was, to look for in what was shown.
    pub fn passwords(&self) -> Vec<String> {
        self.servers.borrow().passwords.clone()
    }

    /// Whether a login works now, without being one of Relight's calls: what an application would see.
    pub fn opens(&self, with: &SecretValue) -> bool {
        self.admit(with).is_ok()
    }

    /// A change that no call of Relight makes.
    pub(crate) fn change(&self, with: &SecretValue) {
        if let (Ok(at), Ok(user), Ok(password)) = (with.endpoint(), with.username(), with.password()) {
            self.set_password(&at.host, user, password);
        }
    }

    fn users_of<T>(&self, host: &str, f: impl FnOnce(&mut BTreeMap<String, String>) -> T) -> T {
        let mut servers = self.servers.borrow_mut();
        let born = servers.users.clone();
        f(servers.hosts.entry(host.to_owned()).or_insert(born))
    }

    fn admit(&self, with: &SecretValue) -> Result<(String, Seen), LoginError> {
        let endpoint = with.endpoint()?;
        let at = format!("{}:{}", endpoint.host, endpoint.port);
        let instances = self.database.instances();
        let instance = instances
            .iter()
            .filter_map(|name| self.database.instance(name))
            .find(|instance| instance.endpoint.as_ref() == Some(&endpoint) && !matches!(instance.status.as_str(), "creating" | "rebooting"));
        let instance = instance.filter(|_| !self.servers.borrow().unreachable.contains(&endpoint.host));
        let Some(instance) = instance else {
            return Err(LoginError::Unreachable { at, why: "connection refused".to_owned() });
        };
        let (user, password) = (with.username()?, with.password()?);
        if self.users_of(&endpoint.host, |users| users.get(user).map(String::as_str) != Some(password)) {
            return Err(LoginError::WrongPassword { at });
        }
        Ok((at, Seen { in_recovery: instance.source.is_some(), encrypted: true }))
    }

    fn pass<T>(&self, operation: &'static str, with: &SecretValue, f: impl FnOnce() -> Result<T, LoginError>) -> Result<T, LoginError> {
        let at = with.endpoint().map(|endpoint| endpoint.host).unwrap_or_default();
        let answer = self.calls.pass(operation, Place::Standby, &at, || Ok(f()));
        answer.unwrap_or_else(|_| Err(LoginError::TimedOut { at, seconds: 5 }))
    }

    fn writable(&self, with: &SecretValue) -> Result<(), LoginError> {
        match self.admit(with)? {
            (at, Seen { in_recovery: true, .. }) => Err(LoginError::ReadOnly { at, why: "it is in recovery, its promotion has not ended" }),
            _ => Ok(()),
        }
    }

    fn changed(&self, with: &SecretValue, user: &str, password: &str) -> Result<(), LoginError> {
        let host = with.endpoint()?.host;
        self.set_password(&host, user, password);
        self.servers.borrow_mut().changes.push(PasswordChange { host, user: user.to_owned() });
        Ok(())
    }
}

impl Login for LoginWorld {
    async fn login(&self, with: &SecretValue) -> Result<Seen, LoginError> {
        self.pass("login:Login", with, || self.admit(with).map(|(_, seen)| seen))
    }

    async fn prove_writable(&self, with: &SecretValue) -> Result<Proof, LoginError> {
        self.pass("login:Prove", with, || self.writable(with).map(|()| Proof::Row))
    }

    async fn change_password(&self, with: &SecretValue, to: &str) -> Result<(), LoginError> {
        self.pass("login:ChangePassword", with, || {
            self.writable(with)?;
            self.changed(with, with.username()?, to)
        })
    }

    async fn ensure_twin(&self, admin: &SecretValue, of: &SecretValue, twin: &SecretValue) -> Result<(), LoginError> {
        self.pass("login:EnsureTwin", admin, || {
            self.writable(admin)?;
            let (user, twin_user) = (of.username()?, twin.username()?);
            let exists = self.users_of(&admin.endpoint()?.host, |users| users.contains_key(twin_user));
            if !exists {
                self.servers.borrow_mut().members.push((twin_user.to_owned(), user.to_owned()));
            }
            self.changed(admin, twin_user, twin.password()?)
        })
    }
}
