//! Tests with file systems that hang.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A world where some mount points hang until they are let go.
#[derive(Default)]
struct World {
    hanging: Mutex<Vec<String>>,
    let_go: Condvar,
    asked: Mutex<Vec<String>>,
    inside: AtomicUsize,
}

impl World {
    fn hang(&self, paths: &[&str]) {
        *self.hanging.lock() = paths.iter().map(ToString::to_string).collect();
        self.let_go.notify_all();
    }

    fn asked(&self, path: &str) -> usize {
        self.asked.lock().iter().filter(|asked| *asked == path).count()
    }

    fn ask(&self, path: &Path) -> Option<FileSystemSpace> {
        let path = path.to_str().unwrap().to_owned();
        self.asked.lock().push(path.clone());
        self.inside.fetch_add(1, Ordering::SeqCst);
        let mut hanging = self.hanging.lock();
        while hanging.contains(&path) {
            self.let_go.wait(&mut hanging);
        }
        self.inside.fetch_sub(1, Ordering::SeqCst);
        (!path.contains("gone")).then_some(FileSystemSpace { size_bytes: 100, available_bytes: 40 })
    }
}

/// Lets everything go at the end of a test, so that no thread outlives it.
struct Scene {
    world: Arc<World>,
    reader: SpaceReader,
    mounts: Vec<(Mount, Reach)>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.world.hang(&[]);
    }
}

fn scene(mounts: &[(&str, Reach)]) -> Scene {
    let world = Arc::new(World::default());
    let asked = world.clone();
    let ask: Ask = Arc::new(move |path| asked.ask(path));
    let patience = Patience { call: Duration::from_millis(300), helper: Duration::from_millis(5), answer: Duration::from_millis(100) };
    let mount = |(path, reach): &(&str, Reach)| {
        let mount = Mount {
            device_number: format!("dev{path}"),
            root: "/".into(),
            mount_point: (*path).into(),
            kind: "kind".into(),
            source: format!("source of {path}"),
            options: String::new(),
        };
        (mount, *reach)
    };
    Scene { world, reader: SpaceReader::new(&ask, patience), mounts: mounts.iter().map(mount).collect() }
}

impl Scene {
    /// Mount points with a space.
    fn read(&self) -> Vec<String> {
        let mounts: Vec<_> = self.mounts.iter().map(|(mount, reach)| (mount, *reach)).collect();
        let start = Instant::now();
        let found = self.reader.read(&mounts);
        // far below "forever", far above the patience: slow machines are no failure
        assert!(start.elapsed() < Duration::from_secs(20), "the call hung");
        assert_eq!(found.len(), mounts.len(), "every file system is told, with or without its space");
        found.into_iter().filter(|file_system| file_system.space.is_some()).map(|file_system| file_system.mount_point).collect()
    }

    fn read_until(&self, expected: &[&str]) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let found = self.read();
            if found == expected {
                return;
            }
            assert!(Instant::now() < end, "still {found:?} instead of {expected:?}");
        }
    }
}

#[test]
fn file_systems_that_answer_have_a_space_at_once() {
    let scene = scene(&[("/", Reach::Local), ("/nfs", Reach::Remote), ("/gone", Reach::Local)]);
    assert_eq!(scene.read(), ["/", "/nfs"]);
    assert_eq!(scene.read(), ["/", "/nfs"]);
    assert_eq!(scene.world.asked("/"), 2, "asked in every call");
}

#[test]
fn a_dead_server_hides_its_own_space_only_and_is_asked_once() {
    let scene = scene(&[("/", Reach::Local), ("/dead", Reach::Remote), ("/nfs", Reach::Remote), ("/srv", Reach::Local)]);
    scene.world.hang(&["/dead"]);
    for _ in 0..5 {
        scene.read_until(&["/", "/nfs", "/srv"]);
    }
    assert_eq!(scene.world.asked("/dead"), 1);
    assert_eq!(scene.world.inside.load(Ordering::SeqCst), 1);

    scene.world.hang(&[]);
    scene.read_until(&["/", "/dead", "/nfs", "/srv"]);
    assert!(scene.world.asked("/dead") <= 3);
}

#[test]
fn a_server_that_dies_later_loses_its_last_answer() {
    let scene = scene(&[("/nfs", Reach::Remote)]);
    assert_eq!(scene.read(), ["/nfs"]);
    scene.world.hang(&["/nfs"]);
    scene.read_until(&[]);
    scene.world.hang(&[]);
    scene.read_until(&["/nfs"]);
}

#[test]
fn threads_that_hang_are_few_and_local_disks_have_their_own() {
    let names: Vec<String> = (0..20).map(|n| format!("/dead{n}")).collect();
    let mut mounts: Vec<(&str, Reach)> = names.iter().map(|name| (name.as_str(), Reach::Remote)).collect();
    mounts.push(("/", Reach::Local));
    let scene = scene(&mounts);
    scene.world.hang(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for _ in 0..4 {
        scene.read_until(&["/"]);
    }
    let remote = scene.reader.remote.state.lock().threads;
    assert_eq!((remote, scene.world.inside.load(Ordering::SeqCst)), (REMOTE_THREADS_MAX, REMOTE_THREADS_MAX));
}

#[test]
fn mounts_that_are_gone_are_forgotten_and_threads_end() {
    let mut scene = scene(&[("/a", Reach::Local), ("/b", Reach::Local), ("/dead", Reach::Remote)]);
    scene.world.hang(&["/dead"]);
    scene.read_until(&["/a", "/b"]);
    scene.mounts.truncate(1);
    scene.read_until(&["/a"]);
    assert_eq!(scene.reader.local.state.lock().answers.len(), 1);
    assert_eq!(scene.reader.remote.state.lock().answers.len(), 1, "kept while its call hangs");

    scene.world.hang(&[]);
    let end = Instant::now() + Duration::from_secs(20);
    while scene.reader.remote.state.lock().threads > 0 || scene.reader.local.state.lock().threads > 0 {
        assert!(Instant::now() < end, "threads stay behind");
        std::thread::yield_now();
    }
    scene.read_until(&["/a"]);
    assert_eq!(scene.reader.remote.state.lock().answers.len(), 0);
}

#[test]
fn the_root_of_this_machine_has_a_space() {
    let space = statvfs(Path::new("/")).unwrap();
    assert!(space.size_bytes > 0 && space.available_bytes <= space.size_bytes);
    assert_eq!(statvfs(Path::new("/no/such/place")), None);
}
