//! Set-up against a small component: what it resumes, what it refuses and what it repairs.

use std::cell::Cell;

use super::*;

/// SHA-256 of `abc` and of nothing (FIPS 180-2).
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const SMALL: Component = Component {
    title: "small",
    link: "small",
    folder: "small-1",
    wheels: &[
        Wheel { project: "abc", version: "1", file: "abc-1-any.whl", sha256: ABC, keep: &[] },
        Wheel { project: "nil", version: "2", file: "nil-2-any.whl", sha256: EMPTY, keep: &[] },
    ],
    written: &[("version", "1\n")],
    native: false,
    variables: &[],
    configured: ".regen/small",
};

/// A cache, a count of downloads, and wheels whose unpacking is a copy.
struct Bench {
    folder: tempfile::TempDir,
    downloads: Cell<usize>,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), downloads: Cell::new(0) }
    }

    fn cache(&self) -> Cache {
        Cache { root: self.folder.path().join("regen") }
    }

    fn install_with(&self, content: &dyn Fn(usize) -> &'static [u8]) -> Result<()> {
        let download = |wheel: &Wheel, folder: &Path| {
            self.downloads.set(self.downloads.get() + 1);
            let bytes: &[u8] = if wheel.project == "abc" { content(self.downloads.get()) } else { b"" };
            Ok(fs::write(folder.join(wheel.file), bytes)?)
        };
        let extract = |wheel: &Wheel, path: &Path, destination: &Path| {
            fs::copy(path, destination.join(wheel.project))?;
            Ok(())
        };
        self.cache().install(&SMALL, &Fetcher { download: &download, extract: &extract })
    }

    fn install(&self) -> Result<()> {
        self.install_with(&|_| b"abc")
    }
}

#[test]
fn an_installed_component_is_sound_and_leaves_no_wheels() {
    let bench = Bench::new();
    assert_eq!(bench.cache().check(&SMALL, Check::Sizes), Finding::NoManifest);
    bench.install().unwrap();
    assert_eq!(bench.cache().check(&SMALL, Check::Contents), Finding::Sound);
    let place = bench.cache().folder(&SMALL);
    assert_eq!(fs::read(place.join("abc")).unwrap(), b"abc");
    assert_eq!(fs::read(place.join("version")).unwrap(), b"1\n");
    assert_eq!(fs::read_dir(bench.cache().wheels()).unwrap().count(), 0);
}

#[test]
fn an_interrupted_set_up_resumes_with_the_wheels_that_it_has() {
    let bench = Bench::new();
    fs::create_dir_all(bench.cache().wheels()).unwrap();
    fs::write(bench.cache().wheels().join("abc-1-any.whl"), b"abc").unwrap();
    let partial = bench.cache().root.join("small-1.partial");
    fs::create_dir(&partial).unwrap();
    fs::write(partial.join("half written"), b"x").unwrap();
    bench.install().unwrap();
    assert_eq!(bench.downloads.get(), 1, "only the other wheel is fetched");
    assert!(!bench.cache().folder(&SMALL).join("half written").exists());
}

#[test]
fn a_corrupt_wheel_is_fetched_again() {
    let bench = Bench::new();
    fs::create_dir_all(bench.cache().wheels()).unwrap();
    fs::write(bench.cache().wheels().join("abc-1-any.whl"), b"ab").unwrap();
    bench.install().unwrap();
    assert_eq!(bench.cache().check(&SMALL, Check::Contents), Finding::Sound);
}

#[test]
fn a_wheel_that_arrives_corrupt_once_is_fetched_again() {
    let bench = Bench::new();
    bench.install_with(&|download| if download == 1 { b"cut" } else { b"abc" }).unwrap();
    assert_eq!(bench.downloads.get(), 3);
}

#[test]
fn a_wheel_that_stays_wrong_is_refused_and_nothing_is_installed() {
    let bench = Bench::new();
    let error = bench.install_with(&|_| b"another file").unwrap_err().to_string();
    assert!(error.contains("abc-1-any.whl") && error.contains(ABC), "{error}");
    assert_eq!(bench.downloads.get(), 2);
    assert_eq!(bench.cache().check(&SMALL, Check::Sizes), Finding::NoManifest);
    assert!(!bench.cache().wheels().join("abc-1-any.whl").exists(), "the wrong file is not kept");
}

#[test]
fn a_damaged_component_is_replaced() {
    let bench = Bench::new();
    bench.install().unwrap();
    fs::write(bench.cache().folder(&SMALL).join("abc"), b"a").unwrap();
    assert!(matches!(bench.cache().check(&SMALL, Check::Sizes), Finding::Damaged(_)));
    bench.install().unwrap();
    assert_eq!(bench.cache().check(&SMALL, Check::Contents), Finding::Sound);
}

#[test]
fn two_set_ups_take_turns() {
    let bench = Bench::new();
    let held = bench.cache().lock().unwrap();
    let second = File::open(bench.cache().root.join("lock")).unwrap();
    assert!(matches!(second.try_lock(), Err(TryLockError::WouldBlock)));
    drop(held);
    assert!(second.try_lock().is_ok());
}

/// The embedded Python script against a wheel that Python makes.
#[test]
fn members_are_unpacked_by_name_and_by_folder_and_a_missing_one_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.whl");
    let make = "import sys, zipfile\n\
                with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as archive:\n\
                \x20   for name in ['p/lib/a.so', 'p/lib/b.so', 'p/include/x/y.h', 'p/include/z.h']:\n\
                \x20       archive.writestr(name, name)\n";
    let status = std::process::Command::new("python3").args(["-c", make]).arg(&path).status().unwrap();
    assert!(status.success());
    let wheel = |keep| Wheel { project: "w", version: "1", file: "w.whl", sha256: ABC, keep };
    let target = folder.path().join("target");
    crate::fetch::extract(&wheel(&[("p/lib/b.so", "lib/b.so"), ("p/include/", "include/")]), &path, &target)
        .unwrap();
    let mut found = Vec::new();
    for name in ["lib/b.so", "include/x/y.h", "include/z.h", "lib/a.so"] {
        found.push(fs::read_to_string(target.join(name)).ok());
    }
    let expected = [Some("p/lib/b.so"), Some("p/include/x/y.h"), Some("p/include/z.h"), None];
    assert_eq!(found, expected.map(|text| text.map(str::to_owned)));
    assert!(crate::fetch::extract(&wheel(&[("p/lib/c.so", "c")]), &path, &target).is_err());
}
