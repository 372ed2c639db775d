use super::*;
use hvnode_core::ErrorCode;
use hvnode_core::model::{DiskRates, MacAddress, MemoryView, NicRates};
use rusqlite::Connection;
use std::fs;
use tempfile::TempDir;

const ALWAYS: (Timestamp, Timestamp) = (Timestamp(i64::MIN), Timestamp(i64::MAX));
const MINUTE: i64 = 60;
const QUARTER: i64 = 900;

fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("statistics.db");
    (folder, path)
}

fn vm(number: u128) -> Uuid {
    Uuid::from_u128(number << 64 | 0x4000_8000)
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn point(subject: u128, second: i64, percent: f64) -> HistoryPoint {
    let point = UsagePoint { time: seconds(second), cpu_usage_percent: Some(percent), ..UsagePoint::default() };
    HistoryPoint { subject_uuid: vm(subject), point: Arc::new(point) }
}

/// A VM with one disk and one NIC, busy by `load` from 0 to 1.
fn busy(subject: u128, second: i64, load: f64) -> HistoryPoint {
    let disk = DiskRates {
        device: "vda".into(),
        read_bytes: load * 2e7,
        write_bytes: load * 1.3e6,
        read_requests: load * 777.7,
        write_requests: load * 55.5,
    };
    let nic = NicRates {
        interface_name: format!("vnet{subject}").into(),
        mac_address: Some(MacAddress::from_seed([1, 2, 3])),
        receive_bytes: load * 3.3e6,
        send_bytes: load * 4.4e5,
        receive_packets: load * 3210.0,
        send_packets: load * 1234.0,
        receive_errors: 0.0,
        send_errors: 0.0,
        receive_drops: 0.0,
        send_drops: 0.0,
    };
    let point = UsagePoint {
        time: seconds(second),
        cpu_time_nanoseconds: Some(second.unsigned_abs() * 300_000_000),
        cpu_usage_percent: Some(load * 100.0),
        core_usage_percents: vec![load * 100.0, load * 90.0],
        cpu_delay_percent: Some(load),
        memory_bytes: Some(4 << 30),
        memory_used_bytes: Some(1_717_986_304),
        memory_available_bytes: Some(2_576_980_992),
        memory_view: MemoryView::Guest,
        memory_resident_bytes: Some(3 << 30),
        swap_in_bytes: Some(0.0),
        swap_out_bytes: Some(0.0),
        disks: vec![disk],
        nics: vec![nic],
        ..UsagePoint::default()
    };
    HistoryPoint { subject_uuid: vm(subject), point: Arc::new(point) }
}

async fn times(history: &SqliteHistory, subject: u128, resolution: Resolution, (start, end): (Timestamp, Timestamp)) -> Vec<i64> {
    let points = history.read(vm(subject), resolution, start, end, usize::MAX).await.unwrap();
    points.iter().map(|point| point.time.seconds()).collect()
}

async fn on_writer(history: &SqliteHistory, action: fn(&Connection)) {
    history.state.read().await.open.as_ref().unwrap().writer.run(action);
}

fn files(folder: &TempDir) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn damaged(folder: &TempDir) -> Vec<String> {
    files(folder).into_iter().filter(|name| name.contains(DAMAGED_MARK) && !name.ends_with("-wal")).collect()
}

const DAMAGED_MARK: &str = "statistics.db.damaged-";

#[tokio::test]
async fn a_restart_keeps_every_point_of_every_resolution() {
    let (_folder, path) = folder();
    let history = SqliteHistory::open(&path);
    let given = busy(1, 10 * QUARTER, 0.5);
    history.append(Resolution::Minute, vec![given.clone(), point(2, 10 * QUARTER, 7.0)]).await.unwrap();
    history.append(Resolution::Coarse, vec![point(1, 10 * QUARTER, 20.0)]).await.unwrap();
    drop(history);
    let history = SqliteHistory::open(&path);
    let read = history.read(vm(1), Resolution::Minute, ALWAYS.0, ALWAYS.1, 9).await.unwrap();
    assert_eq!(read[0].disks, given.point.disks);
    assert_eq!((read.len(), read[0].time, read[0].memory_bytes), (1, given.point.time, Some(4 << 30)));
    let coarse = history.read(vm(1), Resolution::Coarse, ALWAYS.0, ALWAYS.1, 9).await.unwrap();
    assert_eq!(coarse[0].cpu_usage_percent, Some(20.0));
    assert_eq!(times(&history, 2, Resolution::Minute, ALWAYS).await, [10 * QUARTER]);
    assert_eq!(times(&history, 3, Resolution::Minute, ALWAYS).await, [0; 0]);
}

#[tokio::test]
async fn a_bucket_that_is_there_is_replaced() {
    let (_folder, path) = folder();
    let history = SqliteHistory::open(path);
    history.append(Resolution::Minute, vec![point(1, 120, 1.0), point(1, 180, 2.0)]).await.unwrap();
    // Also by a point that starts later in the same bucket.
    history.append(Resolution::Minute, vec![point(1, 120, 3.0), point(1, 185, 4.0)]).await.unwrap();
    let read = history.read(vm(1), Resolution::Minute, ALWAYS.0, ALWAYS.1, 9).await.unwrap();
    assert_eq!(read.iter().map(|point| point.cpu_usage_percent).collect::<Vec<_>>(), [Some(3.0), Some(4.0)]);
}

#[tokio::test]
async fn a_read_gives_the_buckets_that_start_in_its_range_oldest_first_up_to_the_limit() {
    let (_folder, path) = folder();
    let history = SqliteHistory::open(path);
    history.append(Resolution::Minute, [5, 3, 1, 4, 2].map(|minute| point(1, minute * MINUTE, 1.0)).to_vec()).await.unwrap();
    let range = |start: i64, end: i64| (Timestamp(start), Timestamp(end));
    let minute = MINUTE * 1_000_000_000;
    for (wanted, found) in [
        (range(minute, 5 * minute), vec![60, 120, 180, 240, 300]),
        (range(minute + 1, 5 * minute - 1), vec![120, 180, 240]),
        (range(2 * minute, 2 * minute), vec![120]),
        (range(2 * minute + 1, 3 * minute - 1), vec![]),
        (range(3 * minute, 2 * minute), vec![]),
        (ALWAYS, vec![60, 120, 180, 240, 300]),
    ] {
        assert_eq!(times(&history, 1, Resolution::Minute, wanted).await, found, "{wanted:?}");
    }
    let first = history.read(vm(1), Resolution::Minute, seconds(100), ALWAYS.1, 2).await.unwrap();
    assert_eq!(first.iter().map(|point| point.time.seconds()).collect::<Vec<_>>(), [120, 180]);
}

#[tokio::test]
async fn pruning_removes_the_old_and_the_future_of_one_resolution_only() {
    let (_folder, path) = folder();
    let history = SqliteHistory::open(path);
    for subject in 1..=3 {
        let minutes = (0..10).map(|minute| point(subject, minute * MINUTE, 1.0)).collect();
        history.append(Resolution::Minute, minutes).await.unwrap();
    }
    history.append(Resolution::Coarse, vec![point(1, 0, 1.0)]).await.unwrap();
    history.prune(Resolution::Minute, seconds(121), seconds(419)).await.unwrap();
    for subject in 1..=3 {
        assert_eq!(times(&history, subject, Resolution::Minute, ALWAYS).await, [180, 240, 300, 360]);
    }
    history.prune(Resolution::Minute, seconds(240), seconds(300)).await.unwrap();
    assert_eq!(times(&history, 1, Resolution::Minute, ALWAYS).await, [240, 300]);
    assert_eq!(times(&history, 1, Resolution::Coarse, ALWAYS).await, [0]);
}

#[tokio::test]
async fn a_subject_without_points_is_forgotten() {
    let (_folder, path) = folder();
    let history = SqliteHistory::open(&path);
    history.append(Resolution::Minute, vec![point(1, 60, 1.0), point(2, 600, 1.0), point(3, 60, 1.0)]).await.unwrap();
    history.append(Resolution::Coarse, vec![point(3, 0, 1.0)]).await.unwrap();
    history.prune(Resolution::Minute, seconds(300), ALWAYS.1).await.unwrap();
    let known = || {
        let connection = Connection::open(&path).unwrap();
        connection.query_row("SELECT count(*) FROM subject", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(known(), 2);
    assert_eq!(times(&history, 3, Resolution::Coarse, ALWAYS).await, [0]);
    history.prune(Resolution::Coarse, seconds(300), ALWAYS.1).await.unwrap();
    assert_eq!(known(), 1);
    // One that comes back begins anew.
    history.append(Resolution::Minute, vec![point(1, 660, 1.0)]).await.unwrap();
    assert_eq!(times(&history, 1, Resolution::Minute, ALWAYS).await, [660]);
    assert_eq!(times(&history, 2, Resolution::Minute, ALWAYS).await, [600]);
}

#[tokio::test]
async fn pruned_space_is_used_again_and_a_surplus_is_given_back() {
    let (_folder, path) = folder();
    let history = SqliteHistory::open(&path);
    let pages = || {
        let connection = Connection::open(&path).unwrap();
        connection.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0)).unwrap()
    };
    let rows = sql::PRUNE_ROWS_MAX as i64 * 2 + 10;
    let fill = async || history.append(Resolution::Minute, (0..rows).map(|minute| busy(1, minute * MINUTE, 0.5)).collect()).await.unwrap();
    fill().await;
    let full = pages();
    // More rows than one statement removes.
    history.prune(Resolution::Minute, seconds((rows - 10) * MINUTE), ALWAYS.1).await.unwrap();
    assert_eq!(times(&history, 1, Resolution::Minute, ALWAYS).await.len(), 10);
    // Gives an answer after what was asked for before.
    history.append(Resolution::Minute, vec![point(1, 0, 1.0)]).await.unwrap();
    assert!(pages() * 4 < full, "{} of {full}", pages());
    fill().await;
    assert!(pages() <= full + 8, "{} after {full}", pages());
    drop(history);
    assert!(path.metadata().unwrap().len() <= (full.unsigned_abs() + 8) * 4096);
}

#[tokio::test]
async fn a_damaged_newer_or_foreign_file_is_set_aside_and_only_the_newest_of_these_kept() {
    let newer = |path: &Path| {
        drop(SqliteHistory::open(path));
        Connection::open(path).unwrap().pragma_update(None, "user_version", 77).unwrap();
    };
    let foreign = |path: &Path| Connection::open(path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let garbage = |path: &Path| fs::write(path, "not a database, but long enough to hold a header".repeat(100)).unwrap();
    for spoil in [&newer as &dyn Fn(&Path), &foreign, &garbage] {
        let (folder, path) = folder();
        fs::write(folder.path().join("statistics.db.damaged-1"), "older").unwrap();
        fs::write(folder.path().join("statistics.db.damaged-1-wal"), "older").unwrap();
        spoil(&path);
        let before = fs::read(&path).unwrap();
        let history = SqliteHistory::open(&path);
        history.append(Resolution::Minute, vec![point(1, 60, 1.0)]).await.unwrap();
        assert_eq!(times(&history, 1, Resolution::Minute, ALWAYS).await, [60]);
        let kept = damaged(&folder);
        assert_eq!(kept.len(), 1, "{kept:?}");
        assert_eq!(fs::read(folder.path().join(&kept[0])).unwrap(), before);
        drop(history);
        assert_eq!(times(&SqliteHistory::open(&path), 1, Resolution::Minute, ALWAYS).await, [60]);
        assert_eq!(damaged(&folder), kept);
    }
}

#[tokio::test]
async fn damage_that_shows_later_is_met_with_a_new_file_while_it_runs() {
    let (folder, path) = folder();
    let history = SqliteHistory::open(&path);
    history.append(Resolution::Minute, (0..2000).map(|minute| busy(1, minute * MINUTE, 0.5)).collect()).await.unwrap();
    drop(history);
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len() - 4096;
    bytes[8192..end].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    let history = SqliteHistory::open(&path);
    assert_eq!(damaged(&folder), [""; 0]);
    // Several at once find it; it is set aside once.
    let read = || history.read(vm(1), Resolution::Minute, ALWAYS.0, ALWAYS.1, 9);
    let (one, two, three) = tokio::join!(read(), read(), read());
    let errors: Vec<_> = [one, two, three].into_iter().filter_map(Result::err).collect();
    assert!(!errors.is_empty() && errors.iter().all(|error| error.message().contains("a new one begins")), "{errors:?}");
    assert_eq!(damaged(&folder).len(), 1);
    history.append(Resolution::Minute, vec![point(1, 60, 1.0)]).await.unwrap();
    assert_eq!(times(&history, 1, Resolution::Minute, ALWAYS).await, [60]);
}

#[tokio::test]
async fn a_full_disk_fails_the_append_keeps_reads_and_heals_by_itself() {
    let (folder, path) = folder();
    let history = SqliteHistory::open(path);
    history.append(Resolution::Minute, vec![point(1, 60, 1.0)]).await.unwrap();
    on_writer(&history, |connection| {
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        connection.pragma_update(None, "max_page_count", pages).unwrap();
    })
    .await;
    let many = || (0..1000).map(|number| busy(number, 120, 0.5)).collect::<Vec<_>>();
    let error = history.append(Resolution::Minute, many()).await.unwrap_err();
    assert_eq!((error.code(), error.message().as_str()), (ErrorCode::StoreFailed, "Database error: the disk is full"));
    assert_eq!(times(&history, 1, Resolution::Minute, ALWAYS).await, [60]);
    on_writer(&history, |connection| connection.pragma_update(None, "max_page_count", 1_000_000).unwrap()).await;
    history.append(Resolution::Minute, many()).await.unwrap();
    assert_eq!(times(&history, 1, Resolution::Minute, ALWAYS).await, [60, 120]);
    assert_eq!(damaged(&folder), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cannot_be_opened_is_tried_again_after_a_minute() {
    let (folder, _) = folder();
    let path = folder.path().join("missing/statistics.db");
    let history = SqliteHistory::open(&path);
    let append = async || history.append(Resolution::Minute, vec![point(1, 60, 1.0)]).await;
    assert_eq!(append().await.unwrap_err().code(), ErrorCode::StoreFailed);
    fs::create_dir(path.parent().unwrap()).unwrap();
    assert!(append().await.unwrap_err().message().contains("not open"));
    tokio::time::advance(REOPEN_INTERVAL).await;
    tokio::time::resume();
    append().await.unwrap();
    assert_eq!(times(&history, 1, Resolution::Minute, ALWAYS).await, [60]);
}

#[tokio::test]
async fn a_second_daemon_does_not_touch_the_file_of_the_first() {
    let (folder, path) = folder();
    let first = SqliteHistory::open(&path);
    first.append(Resolution::Minute, vec![point(1, 60, 1.0)]).await.unwrap();
    let second = SqliteHistory::open(&path);
    assert!(second.append(Resolution::Minute, vec![point(1, 120, 1.0)]).await.unwrap_err().chain().contains("another hvnoded"));
    assert_eq!(times(&first, 1, Resolution::Minute, ALWAYS).await, [60]);
    assert_eq!(damaged(&folder), [""; 0]);
}

#[tokio::test]
async fn an_unreadable_point_is_left_out() {
    let (_folder, path) = folder();
    let history = SqliteHistory::open(&path);
    history.append(Resolution::Minute, vec![point(1, 60, 1.0), point(1, 120, 1.0), point(1, 180, 1.0)]).await.unwrap();
    on_writer(&history, |connection| {
        assert_eq!(connection.execute("UPDATE point SET point = x'ff00' WHERE bucket = 2", []).unwrap(), 1);
    })
    .await;
    history.append(Resolution::Minute, vec![point(1, 240, 1.0)]).await.unwrap();
    assert_eq!(times(&history, 1, Resolution::Minute, ALWAYS).await, [60, 180, 240]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_go_on_while_points_are_appended_and_see_each_append_whole() {
    let (_folder, path) = folder();
    let history = SqliteHistory::open(path);
    let writing = tokio::spawn({
        let history = Arc::clone(&history);
        async move {
            for minute in 0..300 {
                let points = (1..=20).map(|subject| busy(subject, minute * MINUTE, 0.3)).collect();
                history.append(Resolution::Minute, points).await.unwrap();
            }
        }
    });
    let mut reads = 0;
    while !writing.is_finished() {
        // The last subject of an append is there as soon as the first one is.
        let first = times(&history, 1, Resolution::Minute, ALWAYS).await;
        let last = times(&history, 20, Resolution::Minute, ALWAYS).await;
        assert!(last.len() >= first.len());
        reads += 1;
    }
    writing.await.unwrap();
    assert!(reads > 1);
    assert_eq!(times(&history, 20, Resolution::Minute, ALWAYS).await.len(), 300);
}

#[tokio::test]
async fn a_thousand_vms_are_appended_in_one_transaction() {
    let (_folder, path) = folder();
    let history = SqliteHistory::open(path);
    let mut longest = Duration::ZERO;
    for minute in 0..30 {
        let points = (0..1000).map(|subject| busy(subject, minute * MINUTE, 0.7)).collect();
        let start = std::time::Instant::now();
        history.append(Resolution::Minute, points).await.unwrap();
        longest = longest.max(start.elapsed());
    }
    println!("longest append of 1000 points: {longest:?}");
    let state = history.state.read().await;
    let statistics = state.open.as_ref().unwrap().writer.statistics();
    assert_eq!((statistics.transactions, statistics.durable_flushes), (30, 0));
    assert!(longest < Duration::from_secs(5), "{longest:?}");
}

/// The order in which a day comes, for three VMs: minute after minute, pruned every hour.
#[tokio::test]
async fn a_vm_takes_at_most_200_kilobytes_a_day_and_half_a_megabyte_in_all() {
    const VMS: u128 = 3;
    let (_folder, path) = folder();
    let history = SqliteHistory::open(&path);
    let load = |subject: u128, step: i64| (step * 7919 % 1009) as f64 / 1009.0 * f64::from(u8::from(step % 3 != 0)) / subject as f64;
    let bytes = || {
        let connection = Connection::open(&path).unwrap();
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0)).unwrap();
        u64::from(pragma("page_count")) * u64::from(pragma("page_size"))
    };
    let (day, retention) = (24 * 60, 31 * 24 * 4);
    for minute in 0..day + 120 {
        let points = (1..=VMS).map(|subject| busy(subject, minute * MINUTE, load(subject, minute))).collect();
        history.append(Resolution::Minute, points).await.unwrap();
        if minute % 60 == 0 {
            history.prune(Resolution::Minute, seconds((minute - day) * MINUTE), ALWAYS.1).await.unwrap();
        }
    }
    let minutes = bytes() / VMS as u64;
    for quarter in 0..retention {
        let points = (1..=VMS).map(|subject| busy(subject, quarter * QUARTER, load(subject, quarter))).collect();
        history.append(Resolution::Coarse, points).await.unwrap();
    }
    let all = bytes() / VMS as u64;
    println!("bytes per VM: {minutes} for a day of minutes, {all} with 31 days of quarters of an hour");
    assert!(minutes <= 200_000, "{minutes}");
    assert!(all <= 500_000, "{all}");
}
