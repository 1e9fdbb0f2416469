//! What databases and their secrets may say.

use super::{Found, is_instance};
use crate::plan::{Plan, Users, global, mysql};

impl Found {
    pub(super) fn databases(&mut self, plan: &Plan) {
        self.unique("database", plan.databases.iter().map(|database| database.name.clone()));
        self.unique_by("database", "replica", plan.databases.iter().map(|database| database.replica.clone()));
        for (index, database) in plan.databases.iter().enumerate() {
            let key = |rest: &str| format!("database[{index}].{rest}");
            let wrong = global::mistakes(database).into_iter().chain(mysql::mistakes(database));
            self.0.extend(wrong.map(|(rest, reason, remedy)| (key(rest), reason, remedy)));
            if let Some(group) = database.parameter_group.as_ref().filter(|_| mysql::closes_by_group(database)) {
                let alone = plan.databases.iter().all(|other| other.name == database.name || other.parameter_group.as_ref() != Some(group));
                self.unless(
                    alone,
                    key("parameter_group"),
                    format!("`{group}` is also that of another database, whose writes the way home would close with these"),
                    "give each a group of its own",
                );
            }
            let kind = if database.is_global() { "cluster" } else { "instance" };
            for (rest, id) in [("primary", &database.primary), ("replica", &database.replica)] {
                self.unless(
                    is_instance(id),
                    key(rest),
                    format!("`{id}` is no DB {kind} identifier"),
                    "use the identifier, not the ARN or the endpoint: letters, digits and single hyphens, 63 at most",
                );
            }
            for (rest, id) in [("primary", &database.primary), ("replica", &database.replica)] {
                self.unless(
                    !id.starts_with("relight-drill-"),
                    key(rest),
                    format!("`{id}` is named like a disposable copy"),
                    "a drill would delete it: give the instance another name",
                );
            }
            let days = database.backup_retention_days;
            self.unless(
                (1..=35).contains(&days),
                key("backup_retention_days"),
                format!("{days} days are not possible"),
                "give 1 to 35: a promoted database without backups is one accident from gone",
            );
            if let Some(after) = &database.after {
                let there = plan.database(after).is_some() && *after != database.name;
                self.unless(there, key("after"), format!("no other [[database]] is named `{after}`"), "correct it, or leave it out");
                let circle = there && in_a_circle(plan, &database.name);
                self.unless(!circle, key("after"), format!("`{}` would wait for itself", database.name), "let one of them wait for none");
            }
            if let Some(proxy) = &database.proxy {
                let remedy = "give the name of an RDS Proxy in the standby Region: letters, digits and single hyphens, 63 at most";
                self.unless(is_instance(proxy), key("proxy"), format!("`{proxy}` is no proxy's name"), remedy);
                let twice = plan.databases.iter().take(index).any(|other| other.proxy.as_ref() == Some(proxy));
                self.unless(!twice, key("proxy"), format!("`{proxy}` stands before another database"), "a proxy has one target: name another");
            }
            if let Some(heartbeat) = &database.heartbeat {
                self.unless(
                    plan.secrets.iter().any(|secret| secret.name == *heartbeat && secret.database == database.name),
                    key("heartbeat"),
                    format!("no [[secret]] of this database is named `{heartbeat}`"),
                    "name one whose user may create a table, and whose users do not alternate: the admin's",
                );
            }
            if let Some(group) = &database.parameter_group {
                self.unless(!group.is_empty(), key("parameter_group"), "it is empty", "give a parameter group's name, or leave it out");
            }
            if let Some(group) = &database.quarantine_security_group {
                self.unless(
                    group.starts_with("sg-"),
                    key("quarantine_security_group"),
                    format!("`{group}` is no security group"),
                    "give the id of one in the primary Region that lets nobody in but rotate-secret",
                );
            }
            for (at, group) in database.home_security_groups.iter().enumerate() {
                self.unless(
                    group.starts_with("sg-") && Some(group) != database.quarantine_security_group.as_ref(),
                    key(&format!("home_security_groups[{at}]")),
                    format!("`{group}` is no security group of a database that serves"),
                    "give the ids that the instance in the primary Region has in peace",
                );
            }
            for (at, table) in database.compare.iter().enumerate() {
                self.unless(
                    table.split_once('.').is_some_and(|(schema, name)| !schema.is_empty() && !name.is_empty()),
                    key(&format!("compare[{at}]")),
                    format!("`{table}` does not say in which schema the table is"),
                    "give schema.table, such as public.orders",
                );
            }
        }
    }

    pub(super) fn secrets(&mut self, plan: &Plan) {
        self.unique("secret", plan.secrets.iter().map(|secret| secret.name.clone()));
        for (index, secret) in plan.secrets.iter().enumerate() {
            let key = |rest: &str| format!("secret[{index}].{rest}");
            self.unless(!secret.name.starts_with("arn:"), key("name"), "an ARN names one Region", "give the name, which is the same in both");
            self.unless(
                plan.database(&secret.database).is_some(),
                key("database"),
                format!("no [[database]] is named `{}`", secret.database),
                "correct it or add the database",
            );
            let needs = secret.rotate && secret.users == Users::Alternating;
            self.unless(
                !needs || secret.admin.is_some(),
                key("name"),
                "alternating users need somebody who may alter them",
                "add admin = \"the admin's secret\", or users = \"single\", or rotate = false",
            );
            self.unless(
                secret.admin.as_deref() != Some(secret.name.as_str()),
                key("admin"),
                "a secret cannot be its own admin",
                "name the admin's secret",
            );
            let admins = plan.secrets.iter().filter(|other| Some(&other.name) == secret.admin.as_ref());
            let circle = admins.clone().any(|admin| admin.admin.is_some());
            self.unless(
                !circle,
                key("admin"),
                "the admin's secret has an admin itself",
                "an admin logs in by itself: leave its admin out and set rotate = false",
            );
            // Unless its host moves with the others, the rotation after a failover would log in at the dead primary.
            let admin = secret.admin.as_ref().map(|admin| plan.secrets.iter().find(|other| other.name == *admin));
            self.unless(
                !matches!(admin, Some(None)),
                key("admin"),
                "the admin's secret is not in the plan",
                "add it as a [[secret]] with rotate = false, so that it is repointed too",
            );
        }
    }
}

/// Whether following `after` leads back to where it began.
fn in_a_circle(plan: &Plan, name: &str) -> bool {
    let mut next = plan.database(name).and_then(|database| database.after.as_deref());
    // As many steps as there are databases lead back, or nowhere, or into a circle of others, which is theirs to be told of.
    for _ in &plan.databases {
        match next {
            Some(at) if at == name => return true,
            Some(at) => next = plan.database(at).and_then(|database| database.after.as_deref()),
            None => return false,
        }
    }
    false
}
