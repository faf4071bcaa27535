//! Files that `midge` writes.

use std::path::Path;

use super::{command, error, ok};

fn export(folder: &Path, out: &str) {
    ok(folder, &["export", "--dtype", "f16", "--out", out]);
}

#[cfg(unix)]
#[test]
fn a_link_is_followed_whether_its_target_is_there_or_not() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    export(folder.path(), "m");
    let expected = std::fs::read(path("m")).unwrap();
    std::fs::create_dir(path("elsewhere")).unwrap();
    std::fs::write(path("elsewhere/old"), "old").unwrap();
    symlink("elsewhere/old", path("link")).unwrap();
    symlink("link", path("link to link")).unwrap();
    symlink("elsewhere/new", path("dangling")).unwrap();
    for (link, target) in [("link to link", "elsewhere/old"), ("link", "elsewhere/old"), ("dangling", "elsewhere/new")]
    {
        let _ = std::fs::write(path("elsewhere/old"), "old");
        export(folder.path(), link);
        assert!(path(link).is_symlink(), "{link} was replaced");
        assert!(std::fs::read(path(target)).unwrap() == expected, "{target}");
    }
    symlink("circle", path("circle")).unwrap();
    assert!(error(folder.path(), &["export", "--dtype", "f16", "--out", "circle"]).contains("circle"));
    assert_eq!(std::fs::read_dir(path("elsewhere")).unwrap().count(), 2);
}

#[cfg(unix)]
#[test]
fn a_pipe_is_written_to_and_stays_a_pipe() {
    use std::os::unix::fs::FileTypeExt;
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    export(folder.path(), "m");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut export = command(folder.path(), &["export", "--dtype", "f16", "--out", "pipe"]);
    let mut child = export.stdout(std::process::Stdio::null()).spawn().unwrap();
    // Beside this thread: a writer that replaced the pipe would leave its reader waiting for ever.
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::read(pipe).unwrap()
    });
    assert!(child.wait().unwrap().success());
    assert!(std::fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo(), "the pipe was replaced");
    assert!(reader.join().unwrap() == std::fs::read(folder.path().join("m")).unwrap());
}

#[cfg(unix)]
#[test]
fn a_file_that_is_replaced_hands_its_permissions_on() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m");
    std::fs::write(&path, "secret").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    export(folder.path(), "m");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_a_killed_run_has_left_is_removed_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path(".midge-4000000-0.tmp"), "half of a model").unwrap();
    std::fs::write(path(".tmp"), "mine").unwrap();
    export(folder.path(), "m");
    assert!(!path(".midge-4000000-0.tmp").exists());
    assert!(path(".tmp").exists() && path("m").exists());
}

#[test]
fn messages_name_the_file_that_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    for out in ["no/such/file", "folder"] {
        for arguments in
            [&["export", "--dtype", "f16"][..], &["train", "--data", "synthetic"], &["demo", "--eps", "0.1"]]
        {
            let message = error(folder.path(), &[arguments, &["--out", out]].concat());
            assert!(message.starts_with(&format!("midge: {out}: cannot be written: ")), "{message}");
            assert_eq!(
                (message.matches(".tmp").count(), message.matches("os error").count() < 2),
                (0, true),
                "{message}"
            );
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_device_is_a_message_and_stays_a_device() {
    use std::os::unix::fs::FileTypeExt;
    // A device of this test's own: writing must not be able to replace the system's.
    let folder = tempfile::tempdir().unwrap();
    let full = folder.path().join("full");
    let made = std::process::Command::new("mknod").arg(&full).args(["c", "1", "7"]).output().unwrap();
    if made.status.success() && std::fs::OpenOptions::new().write(true).open(&full).is_ok() {
        let message = error(folder.path(), &["export", "--dtype", "f16", "--out", "full"]);
        assert!(message.contains("full: cannot be written: No space left"), "{message}");
        assert!(std::fs::metadata(&full).unwrap().file_type().is_char_device());
    }
}

#[test]
fn the_demo_overwrites_no_other_picture() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let demo = |more: &[&'static str]| [&["demo", "--eps", "0.1"], more].concat();
    std::fs::write(path("midge-demo.png"), "mine").unwrap();
    assert!(ok(folder.path(), &demo(&[])).ends_with("picture: midge-demo-2.png\n"));
    assert!(ok(folder.path(), &demo(&[])).ends_with("picture: midge-demo-2.png\n"));
    assert_eq!(std::fs::read(path("midge-demo.png")).unwrap(), b"mine");
    ok(folder.path(), &demo(&["--out", "midge-demo.png"]));
    assert!(std::fs::read(path("midge-demo.png")).unwrap() == std::fs::read(path("midge-demo-2.png")).unwrap());
    // The figures come even where the picture does not.
    let output = super::midge(folder.path(), &demo(&["--out", "no/picture"]));
    assert!(!output.status.success() && String::from_utf8(output.stdout).unwrap().contains("20 of 20 right"));
}
