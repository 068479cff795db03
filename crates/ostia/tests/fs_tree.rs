//! Paths, directories, whole files, locks and closing: every call does what it says, names its path when it can't, and leaves
//! nothing behind when it is dropped.

mod common;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::future::Future;
use std::io::ErrorKind;
use std::path::Path;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use common::{alone, drivers, on_each, on_each_with_faults, pattern, poll_once, runtime};
use ostia::fs::{self, File, FsError, OpenOptions};
use ostia::time::{sleep, timeout};
use ostia::{JoinSet, Runtime, spawn, spawn_blocking, spawn_on, yield_now};

const MS: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(20);

/// How many descriptors of this process are open on a path.
#[cfg(unix)]
fn open_on(path: &Path) -> usize {
    let all = std::fs::read_dir("/proc/self/fd").expect("descriptors");
    all.filter(|entry| entry.as_ref().is_ok_and(|entry| std::fs::read_link(entry.path()).is_ok_and(|to| to == path))).count()
}

/// Whether anybody has a path open: 1 if so, for Windows counts nobody.
#[cfg(windows)]
fn open_on(path: &Path) -> usize {
    use std::os::windows::fs::OpenOptionsExt;
    const BACKUP_SEMANTICS: u32 = 0x0200_0000;
    const SHARING_VIOLATION: i32 = 32;
    // Alone, which fails while somebody else has it open.
    match std::fs::OpenOptions::new().read(true).share_mode(0).custom_flags(BACKUP_SEMANTICS).open(path) {
        Ok(_) => 0,
        Err(error) if error.raw_os_error() == Some(SHARING_VIOLATION) => 1,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

/// Whether symbolic links can be made here; if not, the part of the test is counted as skipped.
#[cfg(unix)]
fn can_link(_part: &str) -> bool {
    true
}

/// Whether symbolic links can be made here; if not, the part of the test is counted as skipped.
#[cfg(windows)]
fn can_link(part: &str) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("link");
    let made = std::os::windows::fs::symlink_file("nowhere", &link);
    let there = link.is_symlink();
    if common::wine_lacks(part, "symbolic links") {
        assert!(!there, "Wine now makes symbolic links: take the mark off");
    } else if let Err(error) = made {
        // They need the developer mode, or a privilege.
        common::skip(part, &format!("no symbolic links: {error}"));
    }
    there
}

#[cfg(unix)]
async fn symlink_file(original: &str, link: &Path) -> std::io::Result<()> {
    fs::symlink(original, link).await
}

#[cfg(windows)]
async fn symlink_file(original: &str, link: &Path) -> std::io::Result<()> {
    fs::symlink_file(original, link).await
}

#[test]
fn paths_are_made_linked_renamed_asked_about_and_removed() {
    on_each_with_faults(|| async {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("a")).await.expect("create_dir");
        assert_eq!(fs::create_dir(at("a")).await.expect_err("there").kind(), ErrorKind::AlreadyExists);
        fs::create_dir_all(at("a/b/c")).await.expect("create_dir_all");
        fs::create_dir_all(at("a/b/c")).await.expect("as good");
        fs::write(at("a/b/c/f"), pattern(0, 200_000)).await.expect("write");
        fs::write(at("a/b/c/f"), pattern(7, 100_000)).await.expect("write again");
        assert!(fs::read(at("a/b/c/f")).await.expect("read") == pattern(7, 100_000), "emptied before");

        let copied = fs::copy(at("a/b/c/f"), at("copy")).await.expect("copy");
        if common::wine_lacks("paths_are_made_linked_renamed_asked_about_and_removed/bytes copied", "how many CopyFileExW tells")
        {
            assert_eq!(copied, 0, "Wine now tells: take the mark off");
        } else {
            assert_eq!(copied, 100_000);
        }
        assert!(fs::read(at("copy")).await.expect("read") == pattern(7, 100_000));
        fs::hard_link(at("copy"), at("hard")).await.expect("hard_link");
        let followed = fs::metadata(at("hard")).await.expect("it");
        assert!(followed.is_file() && followed.len() == 100_000 && followed.links() == 2);
        assert_eq!(fs::canonicalize(at("a/../hard")).await.expect("canonicalize"), at("hard").canonicalize().expect("std"));
        let links = can_link("paths_are_made_linked_renamed_asked_about_and_removed/symbolic links");
        if links {
            symlink_file("hard", &at("soft")).await.expect("symlink");
            assert_eq!(fs::read_link(at("soft")).await.expect("read_link"), Path::new("hard"));
            assert_eq!(fs::canonicalize(at("a/../soft")).await.expect("canonicalize"), at("hard").canonicalize().expect("std"));
            assert_eq!(fs::metadata(at("soft")).await.expect("it").inode(), followed.inode());
            let link = fs::symlink_metadata(at("soft")).await.expect("link");
            assert!(link.is_symlink() && link.inode() != followed.inode());
            assert_eq!(link.len(), at("soft").symlink_metadata().expect("std").len());
        }
        assert_eq!(fs::metadata(at("copy")).await.expect("the same").inode(), followed.inode());
        assert!(fs::symlink_metadata(at("a")).await.expect("a directory").is_dir());
        let truth = std::fs::metadata(at("hard")).expect("std");
        let since = |time: std::io::Result<std::time::SystemTime>| {
            let since = time.expect("a time").duration_since(std::time::UNIX_EPOCH).expect("not long ago");
            (since.as_secs() as i64, since.subsec_nanos())
        };
        assert_eq!(followed.accessed(), since(truth.accessed()));
        assert_eq!(followed.modified(), since(truth.modified()));
        assert_eq!(followed.created().is_some(), truth.created().is_ok());
        #[cfg(unix)]
        {
            assert_eq!(followed.owner().0, std::os::unix::fs::MetadataExt::uid(&truth));
            fs::set_permissions(at("soft"), 0o604).await.expect("set_permissions");
            assert_eq!(fs::metadata(at("hard")).await.expect("it").mode() & 0o7777, 0o604);
        }

        fs::rename(at("hard"), at("a/b/c/f")).await.expect("rename over");
        assert_eq!(fs::metadata(at("a/b/c/f")).await.expect("there").inode(), followed.inode());
        fs::sync_dir(at("a/b/c")).await.expect("sync_dir");
        assert!(!fs::try_exists(at("hard")).await.expect("to tell"));
        if links {
            assert!(!fs::try_exists(at("soft")).await.expect("leads nowhere"));
            fs::remove_file(at("soft")).await.expect("remove_file");
        }
        assert!(fs::try_exists(at("a/b")).await.expect("to tell"));

        fs::write(at("gone"), "").await.expect("write");
        fs::remove_file(at("gone")).await.expect("remove_file");
        assert_eq!(fs::remove_dir(at("a")).await.expect_err("not empty").kind(), ErrorKind::DirectoryNotEmpty);
        fs::create_dir(at("empty")).await.expect("create_dir");
        fs::remove_dir(at("empty")).await.expect("remove_dir");
        fs::remove_dir_all(at("a")).await.expect("remove_dir_all");
        assert_eq!(std::fs::read_dir(folder.path()).expect("list").count(), 1, "the copy is left");
    });
}

#[test]
fn every_error_names_its_paths_and_keeps_its_kind_and_code() {
    on_each(|| async {
        let folder = tempfile::tempdir().expect("a folder");
        let (none, other) = (folder.path().join("none/x"), folder.path().join("other"));
        let named = |error: std::io::Error| {
            let inner = FsError::of(&error).unwrap_or_else(|| panic!("not named: {error}"));
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            // ENOENT and ERROR_FILE_NOT_FOUND; ERROR_PATH_NOT_FOUND.
            let codes: &[i32] = if cfg!(windows) { &[2, 3] } else { &[2] };
            assert!(inner.raw_os_error().is_some_and(|code| codes.contains(&code)), "{error}");
            assert_eq!(inner.path(), none);
            let text = error.to_string();
            assert!(text.starts_with("cannot ") && text.contains(none.to_str().expect("text")), "{text}");
            inner.to().map(Path::to_owned)
        };
        let single = [
            File::open(&none).await.map(drop),
            File::create(&none).await.map(drop),
            fs::read(&none).await.map(drop),
            fs::read_to_string(&none).await.map(drop),
            fs::write(&none, "x").await,
            fs::metadata(&none).await.map(drop),
            fs::symlink_metadata(&none).await.map(drop),
            fs::sync_dir(&none).await,
            fs::read_link(&none).await.map(drop),
            fs::canonicalize(&none).await.map(drop),
            #[cfg(unix)]
            fs::set_permissions(&none, 0o600).await,
            fs::create_dir(&none).await,
            fs::remove_file(&none).await,
            fs::remove_dir(&none).await,
            fs::remove_dir_all(&none).await,
            fs::read_dir(&none).await.map(drop),
        ];
        for result in single {
            assert_eq!(named(result.expect_err("nothing is there")), None);
        }
        let double =
            [fs::rename(&none, &other).await, fs::copy(&none, &other).await.map(drop), fs::hard_link(&none, &other).await];
        for result in double {
            assert_eq!(named(result.expect_err("nothing is there")), Some(other.clone()));
        }

        std::fs::write(&other, [0xff]).expect("write");
        let error = fs::read_to_string(&other).await.expect_err("no UTF-8");
        assert_eq!((error.kind(), FsError::of(&error).map(FsError::path)), (ErrorKind::InvalidData, Some(other.as_path())));
        for error in [
            fs::metadata("a\0b").await.map(drop),
            fs::symlink_metadata("a\0b").await.map(drop),
            fs::rename("a\0b", "c").await,
            fs::write("a\0b", "x").await,
        ] {
            let error = error.expect_err("a NUL");
            assert_eq!((error.kind(), FsError::of(&error).is_some()), (ErrorKind::InvalidInput, true), "{error}");
        }
        // Windows says no more than that it is not allowed (ERROR_ACCESS_DENIED).
        let kind = if cfg!(windows) { ErrorKind::PermissionDenied } else { ErrorKind::IsADirectory };
        assert_eq!(fs::read(folder.path()).await.expect_err("a directory").kind(), kind);
        assert_eq!(fs::sync_dir(&other).await.expect_err("a file").kind(), ErrorKind::NotADirectory);
        let kind = if common::is_wine() { ErrorKind::InvalidFilename } else { ErrorKind::NotADirectory };
        assert_eq!(fs::read_dir(&other).await.expect_err("a file").kind(), kind);
    });
}

#[cfg(unix)]
#[test]
fn what_can_not_tell_its_size_is_read_to_its_end() {
    on_each(|| async {
        let status = fs::read_to_string("/proc/self/status").await.expect("a file without size");
        assert!(status.starts_with("Name:") && status.lines().count() > 20);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from_raw_mode(0o600)).expect("a fifo");
        let writer = path.clone();
        let written = spawn_blocking(move || std::fs::write(writer, pattern(0, 300_000)));
        assert!(fs::read(&path).await.expect("read") == pattern(0, 300_000));
        written.await.expect("no panic").expect("write");
        assert!(fs::read("/dev/null").await.expect("read").is_empty());
    });
}

#[test]
fn a_directory_is_listed_whole_whatever_is_dropped() {
    let links = can_link("a_directory_is_listed_whole_whatever_is_dropped/symbolic links");
    for count in [0, 1, 63, 64, 65, 1000] {
        on_each(|| async move {
            let folder = tempfile::tempdir().expect("a folder");
            for number in 0..count {
                let path = folder.path().join(number.to_string());
                match number % 3 {
                    0 => std::fs::write(path, "").expect("write"),
                    1 => std::fs::create_dir(path).expect("create_dir"),
                    _ if links => symlink_file("nowhere", &path).await.expect("symlink"),
                    _ => std::fs::write(path, "").expect("write"),
                }
            }
            let mut entries = fs::read_dir(folder.path()).await.expect("read_dir");
            let mut found = BTreeSet::new();
            loop {
                // Given up after one poll: what is being listed must not be skipped.
                let entry = match poll_once(entries.next()) {
                    Poll::Ready(entry) => entry,
                    Poll::Pending => entries.next().await,
                };
                let Some(entry) = entry.expect("an entry") else { break };
                let number: usize = entry.file_name().to_str().and_then(|name| name.parse().ok()).expect("a number");
                let kind = entry.file_type();
                let told = [kind.is_file(), kind.is_dir(), kind.is_symlink()];
                assert!(if links { told[number % 3] } else { told[number % 3 % 2] }, "{number}: {told:?}");
                if number < 10 {
                    let metadata = entry.metadata().await.expect("metadata");
                    #[cfg(unix)]
                    assert_eq!(metadata.inode(), entry.inode());
                    assert_eq!((metadata.is_symlink(), metadata.is_dir()), (kind.is_symlink(), kind.is_dir()));
                    assert_eq!(entry.path(), folder.path().join(number.to_string()));
                }
                assert!(found.insert(number), "{number} twice");
            }
            assert_eq!(found.len(), count);
            assert!(entries.next().await.expect("the end again").is_none());
        });
    }
}

#[test]
fn a_listing_that_is_dropped_lets_go_of_its_directory() {
    on_each(|| async {
        let folder = tempfile::tempdir().expect("a folder");
        (0..200).for_each(|number| std::fs::write(folder.path().join(number.to_string()), "").expect("write"));
        let path = folder.path().canonicalize().expect("path");
        let mut entries = fs::read_dir(&path).await.expect("read_dir");
        assert_eq!(open_on(&path), 1);
        for _ in 0..64 {
            assert!(matches!(poll_once(entries.next()), Poll::Ready(Ok(Some(_)))), "these came with the opening");
        }
        // The next are being listed.
        let _ = poll_once(entries.next());
        drop(entries);
        while open_on(&path) > 0 {
            sleep(MS).await;
        }
    });
}

#[test]
fn directories_are_streams() {
    use futures_util::TryStreamExt;
    on_each(|| async {
        let folder = tempfile::tempdir().expect("a folder");
        (0..100).for_each(|number| std::fs::write(folder.path().join(number.to_string()), "").expect("write"));
        let all: Vec<_> = fs::read_dir(folder.path()).await.expect("read_dir").try_collect().await.expect("entries");
        assert_eq!(all.len(), 100);
    });
}

#[test]
fn lengths_and_permissions_of_open_files() {
    on_each_with_faults(|| async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("f");
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).await.expect("open");
        file.write_all_at(pattern(0, 1000), 0).await.expect("write");
        file.set_len(10).await.expect("cut");
        assert_eq!(file.read_to_end(0).await.expect("read"), pattern(0, 10));
        file.set_len(20).await.expect("extend");
        assert_eq!(file.read_to_end(10).await.expect("read"), [0; 10]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            file.set_permissions(0o640).await.expect("set_permissions");
            assert_eq!(std::fs::metadata(&path).expect("it").permissions().mode() & 0o7777, 0o640);
        }
        let reader = File::open(&path).await.expect("open");
        // EINVAL; ERROR_ACCESS_DENIED; ERROR_INVALID_PARAMETER of Wine.
        let codes: &[i32] = if cfg!(windows) { &[5, 87] } else { &[22] };
        let error = reader.set_len(0).await.expect_err("read only");
        assert!(error.raw_os_error().is_some_and(|code| codes.contains(&code)), "{error}");
        let clone = file.try_clone().expect("clone");
        file.close().await.expect("close");
        clone.write_all_at("still", 0).await.expect("write");
        assert_eq!(&clone.read_to_end(0).await.expect("read")[..5], b"still");
        clone.close().await.expect("close");
        assert_eq!(open_on(&path), 1, "the reader's");
    });
}

#[test]
fn a_closed_file_is_closed_and_nothing_of_it_is_in_flight() {
    on_each_with_faults(|| async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().canonicalize().expect("path").join("f");
        for round in 0..20u64 {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).await.expect("open");
            // Writes, a cut and a lock that nobody awaits any more.
            for part in 0..4 {
                let _ = poll_once(file.write_at(vec![1; 100_000], part * 100_000));
            }
            let _ = poll_once(file.set_len(50_000));
            let _ = poll_once(file.lock());
            if round % 2 == 0 {
                yield_now().await;
            }
            file.close().await.expect("close");
            assert_eq!(open_on(&path), 0);
            // Whatever they did is done: nothing changes any more.
            std::fs::write(&path, "mine").expect("write");
            let after = File::open(&path).await.expect("open");
            assert!(after.try_lock().await.expect("try_lock"), "nobody has it locked");
            after.close().await.expect("close");
            sleep(MS).await;
            assert_eq!(std::fs::read(&path).expect("read"), b"mine");
        }
    });
}

#[test]
fn a_close_that_is_dropped_goes_on() {
    on_each_with_faults(|| async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().canonicalize().expect("path").join("f");
        for polled in [false, true] {
            let file = File::create(&path).await.expect("create");
            let closing = file.close();
            match polled {
                true => drop(poll_once(closing)),
                false => drop(closing),
            }
            while open_on(&path) > 0 {
                sleep(MS).await;
            }
        }
    });
}

#[test]
fn locks_exclude_each_other_and_shared_ones_do_not() {
    on_each(|| async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        let one = File::create(&path).await.expect("create");
        let other = File::open(&path).await.expect("open");
        one.lock().await.expect("lock");
        assert!(!other.try_lock().await.expect("try_lock"));
        assert!(!other.try_lock_shared().await.expect("try_lock_shared"));
        assert!(one.try_clone().expect("clone").try_lock().await.expect("try_lock"), "the same open file");
        one.lock_shared().await.expect("becomes shared");
        assert!(other.try_lock_shared().await.expect("try_lock_shared"));
        assert!(!one.try_lock().await.expect("try_lock"));
        other.unlock().await.expect("unlock");
        other.unlock().await.expect("without one");
        one.lock().await.expect("alone again");

        // Programs of the standard library see the same lock.
        let std = std::fs::File::open(&path).expect("open");
        assert!(std.try_lock().is_err());
        let waiter = spawn(async move {
            other.lock().await.expect("lock");
            other
        });
        sleep(5 * MS).await;
        assert!(!waiter.is_finished());
        // Closing gives it up: the close is done when it has.
        one.close().await.expect("close");
        let other = timeout(PATIENCE, waiter).await.expect("in time").expect("no panic");
        assert!(std.try_lock().is_err());
        other.unlock().await.expect("unlock");
        std.try_lock().expect("free");
    });
}

#[test]
fn a_lock_that_is_given_up_is_never_held() {
    on_each_with_faults(|| async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        let (file, other) = (File::create(&path).await.expect("create"), File::open(&path).await.expect("open"));
        for round in 0..100 {
            // Dropped at every moment: before a thread has come to it, while it is there, and after it has got the lock.
            let mut locking = Box::pin(file.lock());
            let got = std::future::poll_fn(|cx| Poll::Ready(locking.as_mut().poll(cx).is_ready())).await;
            if round % 3 == 1 {
                spawn_blocking(|| ()).await.expect("no panic");
            } else if round % 3 == 2 {
                std::thread::sleep(MS);
            }
            drop(locking);
            if got {
                // By a thread that was faster than this one.
                file.unlock().await.expect("unlock");
            }
            // Asking again waits until what was given up is through.
            if round % 2 == 0 {
                file.lock().await.expect("lock");
                assert!(!other.try_lock().await.expect("try_lock"), "a lock that was asked for again was taken away");
                file.unlock().await.expect("unlock");
            }
            timeout(PATIENCE, other.lock()).await.expect("nobody holds it for good").expect("lock");
            other.unlock().await.expect("unlock");
        }
    });
}

#[test]
fn more_waiters_than_threads_get_their_locks() {
    on_each(|| async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        File::create(&path).await.expect("create");
        let (inside, mut set) = (Rc::new(Cell::new(0)), JoinSet::new());
        for _ in 0..100 {
            let (inside, path) = (Rc::clone(&inside), path.clone());
            set.spawn(async move {
                let file = File::open(&path).await.expect("open");
                file.lock().await.expect("lock");
                inside.set(inside.get() + 1);
                // Its holder needs a thread too.
                fs::canonicalize(&path).await.expect("canonicalize");
                assert_eq!(inside.replace(inside.get() - 1), 1, "alone");
                file.unlock().await.expect("unlock");
            });
        }
        timeout(10 * PATIENCE, set.join_all()).await.expect("in time").expect("no panic");
    });
}

#[test]
fn a_dropped_rename_has_happened_or_not() {
    on_each(|| async {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        for round in 0..50 {
            std::fs::write(&from, "x").expect("write");
            let dropped = fs::rename(&from, &to);
            if round % 2 == 0 {
                let _ = poll_once(dropped);
            } else {
                let _ = timeout(Duration::ZERO, dropped).await;
            }
            // One name or the other, never none or both.
            loop {
                let (there, here) = (to.exists(), from.exists());
                if there != here {
                    break;
                }
                yield_now().await;
            }
            // What has not begun doesn't; what has is through when another call on a thread is, or soon.
            sleep(MS).await;
            let _ = std::fs::remove_file(&to);
            let _ = std::fs::remove_file(&from);
        }
    });
}

#[test]
fn files_of_another_worker_say_so() {
    for driver in drivers() {
        let mut runtime = runtime(driver, 2);
        let other = runtime.workers()[1];
        runtime.block_on(async {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().canonicalize().expect("path").join("f");
            let file = File::create(&path).await.expect("create");
            let refused = spawn_on(other, move || async move {
                let errors = [
                    file.lock().await.map(drop),
                    file.try_lock_shared().await.map(drop),
                    file.unlock().await,
                    file.set_len(1).await,
                    #[cfg(unix)]
                    file.set_permissions(0o600).await,
                    file.try_clone().map(drop),
                    file.close().await,
                ];
                errors.map(|error| error.expect_err("elsewhere").to_string())
            });
            let refused = timeout(PATIENCE, refused).await.expect("in time").expect("no panic");
            assert!(refused.iter().all(|text| text.contains("another worker")), "{refused:?}");
            // It is closed at home nevertheless.
            while open_on(&path) > 0 {
                sleep(MS).await;
            }
        });
    }
}

#[test]
fn a_call_that_no_thread_has_come_to_is_never_begun() {
    // The bound on threads is the process's.
    if !alone("a_call_that_no_thread_has_come_to_is_never_begun") {
        return;
    }
    for driver in drivers() {
        let mut runtime = Runtime::builder().workers(1).driver(driver).blocking_threads(1).build().expect("a runtime");
        runtime.block_on(async {
            let folder = tempfile::tempdir().expect("a folder");
            let (made, dropped) = (folder.path().join("made"), folder.path().join("dropped"));
            let (release, released) = std::sync::mpsc::channel::<()>();
            let busy = spawn_blocking(move || released.recv());
            let mut making = Box::pin(fs::create_dir(&made));
            assert!(poll_once(making.as_mut()).is_pending());
            assert!(poll_once(fs::create_dir(&dropped)).is_pending());
            let file = File::create(folder.path().join("file")).await.expect("create");
            file.write_all_at("as long as this", 0).await.expect("write");
            assert!(poll_once(file.set_len(0)).is_pending());
            release.send(()).expect("the thread waits");
            busy.await.expect("no panic").expect("released");
            making.await.expect("create_dir");
            file.close().await.expect("close");
            assert!(made.exists() && !dropped.exists());
            assert_eq!(fs::read(folder.path().join("file")).await.expect("read"), b"as long as this");
        });
    }
}
