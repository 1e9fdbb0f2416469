//! The parameter by which writes of MySQL and MariaDB are closed.

use relight::ports::{Database, WriteGate};

/// `group` is a parameter group that `holder` alone has, and in which nobody ever set `read_only`.
pub(crate) async fn write_gate<D: Database>(rds: &D, group: &str, holder: &str) {
    let says = async |value: Option<&str>| {
        let expected = WriteGate { read_only: value.map(str::to_owned), holders: vec![holder.to_owned()] };
        assert_eq!(rds.write_gate(group).await.expect("a look"), expected);
    };
    says(None).await;
    for value in ["1", "{TrueIfReplica}"] {
        for _ in 0..2 {
            rds.set_read_only(group, value).await.expect("set, as often as asked");
            says(Some(value)).await;
        }
    }
    rds.set_read_only("default.mariadb10.11", "1").await.expect_err("AWS's own group is nobody's to change");
}
