//! Files with a known content, downloaded whole or not at all.
//!
//! The program `curl` downloads: it comes with every usual system and knows its certificates and proxies, and the pinned
//! SHA-256 protects the content. A download goes to a `.part` file, which the next attempt continues, whichever mirror or run
//! makes it. Only content whose unpacked SHA-256 is right gets its final name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};

use super::known::Known;
use super::known::find;
use super::{DataError, gzip};

/// Makes sure `folder` holds `files`, taking each missing one from the first of `mirrors` (base
/// addresses) that delivers it whole. Other processes doing the same are waited for.
///
/// # Errors
/// [`DataError::Download`] if no mirror delivers, [`DataError::Io`] if the folder is unusable.
pub fn fetch(mirrors: &[String], folder: &Path, files: &[Known<'_>]) -> Result<(), DataError> {
    if files.iter().all(|known| find(folder, known.name).is_some()) {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(DataError::io(folder))?;
    let lock = folder.join(".lock");
    let lock = File::create(&lock).map_err(DataError::io(&lock))?;
    // A file system without locks only loses the protection against a second process.
    let _ = lock.lock();
    for known in files {
        if find(folder, known.name).is_none() {
            fetch_one(mirrors, folder, known)?;
        }
    }
    Ok(())
}

fn fetch_one(mirrors: &[String], folder: &Path, known: &Known<'_>) -> Result<(), DataError> {
    let packed = format!("{}.gz", known.name);
    let part = folder.join(format!("{packed}.part"));
    let mut failures = Vec::new();
    for mirror in mirrors {
        let url = format!("{}/{packed}", mirror.trim_end_matches('/'));
        let mut tries = 3;
        loop {
            tries -= 1;
            match attempt(&url, &part, known) {
                Ok(gzip) => {
                    let last = folder.join(if gzip { &packed } else { known.name });
                    return fs::rename(&part, &last).map_err(DataError::io(&last));
                }
                Err(Failure::Local(error)) => return Err(error),
                Err(Failure::Remote { again: true, .. }) if tries > 0 => {}
                Err(Failure::Remote { reason, .. }) => {
                    failures.push(format!("{url}: {reason}"));
                    break;
                }
            }
        }
    }
    failures.push(format!("to fetch it by hand, save one of these addresses in {}", folder.display()));
    Err(DataError::Download { file: packed, failures })
}

enum Failure {
    /// This computer is at fault; another mirror will not help.
    Local(DataError),
    /// The other side is at fault, and may do better if asked again.
    Remote { reason: String, again: bool },
}

fn local(path: &Path) -> impl FnOnce(io::Error) -> Failure {
    |error| Failure::Local(DataError::io(path)(error))
}

fn remote(again: bool) -> impl FnOnce(String) -> Failure {
    move |reason| Failure::Remote { reason, again }
}

/// Continues `part` from `url` and checks the result; true if it is gzip. Content that is
/// complete but wrong is deleted, content that is merely unfinished stays.
fn attempt(url: &str, part: &Path, known: &Known<'_>) -> Result<bool, Failure> {
    // Gzip adds a little to data it cannot shrink, always less than this.
    let limit = known.bytes + known.bytes / 100 + 1024;
    let mut options = OpenOptions::new();
    let mut file = options.create(true).write(true).truncate(false).open(part).map_err(local(part))?;
    let mut have = file.metadata().map_err(local(part))?.len();
    if have > limit {
        have = 0;
    }
    loop {
        file.set_len(have).and_then(|()| file.seek(SeekFrom::Start(have))).map_err(local(part))?;
        match transfer(curl("curl", url, have), (&mut file, part), have, limit, url)? {
            Answer::Whole => return verify(part, known, have > 0),
            // Nothing follows what is there: it is either complete or useless.
            Answer::Refused(416) if have > 0 => return verify(part, known, true),
            Answer::Refused(status) => return Err(remote(false)(format!("answered with status {status}"))),
            Answer::NoRanges => have = 0,
        }
    }
}

/// How a server answered.
enum Answer {
    /// With all that was asked for.
    Whole,
    /// With everything, where only the rest was asked for.
    NoRanges,
    /// With this status.
    Refused(u16),
}

/// A command that writes what follows byte `start` of `url` to its output.
fn curl(program: &str, url: &str, start: u64) -> Command {
    let mut command = Command::new(program);
    command.args(["--silent", "--show-error", "--fail", "--location", "--proto", "=http,https"]);
    // At least a byte within 30 seconds, and everything within 30 minutes.
    command.args(["--connect-timeout", "15", "--speed-limit", "1", "--speed-time", "30", "--max-time", "1800"]);
    // A mirror on this computer is not reached through a proxy.
    if url.starts_with("http://127.") || url.starts_with("http://localhost") {
        command.args(["--noproxy", "*"]);
    }
    if start > 0 {
        command.args(["--continue-at", &start.to_string()]);
    }
    command.args(["--url", url]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the command and adds its output to the file, which holds `start` bytes and may reach `limit`.
fn transfer(
    mut command: Command,
    (file, part): (&mut File, &Path),
    start: u64,
    limit: u64,
    url: &str,
) -> Result<Answer, Failure> {
    let needed = |error: io::Error| remote(false)(format!("needs the program curl, which does not start: {error}"));
    let mut child = command.spawn().map_err(needed)?;
    let mut output = child.stdout.take().ok_or_else(|| remote(false)("curl has no output".into()))?;
    let saved = save(&mut output, (file, part), start, limit, url);
    if saved.is_err() {
        // It may have ended by itself.
        let _ = child.kill();
    }
    let ended = child.wait_with_output().map_err(needed)?;
    let have = saved?;
    let said = String::from_utf8_lossy(&ended.stderr);
    // Its exit codes: 22 is a status of 400 or more, 33 a server that cannot begin in the middle.
    match ended.status.code() {
        Some(0) => Ok(Answer::Whole),
        Some(33) if start > 0 => Ok(Answer::NoRanges),
        Some(22) if let Some(status) = status(&said) => Ok(Answer::Refused(status)),
        // What arrived is kept, so asking again makes progress.
        _ => Err(remote(have > start)(format!("broke off at byte {have}: {}", said.trim()))),
    }
}

/// The number in `curl: (22) The requested URL returned error: 404`.
fn status(said: &str) -> Option<u16> {
    said.rsplit_once("error: ")?.1.get(..3)?.parse().ok()
}

/// Writes the body to the file and gives its new length.
fn save(
    body: &mut impl Read,
    (file, part): (&mut File, &Path),
    start: u64,
    limit: u64,
    url: &str,
) -> Result<u64, Failure> {
    let bar = progress(url);
    let (mut have, mut buffer) = (start, vec![0; 64 * 1024]);
    loop {
        let read = body.read(&mut buffer);
        let n = read.map_err(|e| remote(have > start)(format!("broke off at byte {have}: {e}")))?;
        if n == 0 {
            bar.finish_and_clear();
            file.sync_all().map_err(local(part))?;
            return Ok(have);
        }
        have += n as u64;
        if have > limit {
            file.set_len(0).map_err(local(part))?;
            return Err(remote(false)(format!("sent more than {limit} bytes")));
        }
        file.write_all(&buffer[..n]).map_err(local(part))?;
        bar.set_position(have);
    }
}

/// Bytes and speed on a terminal, one plain line otherwise.
fn progress(url: &str) -> ProgressBar {
    if !crate::progress::is_drawn() {
        note!("downloading {url}");
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::no_length().with_message(url.to_string());
    let look = ProgressStyle::with_template("{msg} {spinner} {bytes} {bytes_per_sec}");
    bar.with_style(look.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

/// As [`compare`], and deletes a wrong file.
fn verify(part: &Path, known: &Known<'_>, again: bool) -> Result<bool, Failure> {
    compare(part, known).map_err(local(part))?.or_else(|reason| {
        fs::remove_file(part).map_err(local(part))?;
        Err(remote(again)(reason))
    })
}

/// Whether the unpacked content is as it should be: if so, whether the file is gzip, else how it
/// differs.
///
/// # Errors
/// The outer error is that of opening the file.
pub fn compare(path: &Path, known: &Known<'_>) -> io::Result<Result<bool, String>> {
    let (content, gzip) = gzip::unpack(File::open(path)?)?;
    let mut bytes = Vec::new();
    let unpacked = content.take(known.bytes + 1).read_to_end(&mut bytes);
    let sum: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    Ok(match unpacked {
        Ok(_) if sum == known.sha256 => Ok(gzip),
        Ok(_) => Err(format!("expected SHA-256 {} after unpacking, found {sum}", known.sha256)),
        Err(error) => Err(format!("expected gzip, found damage: {error}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};

    const CONTENT: &[u8] = b"not MNIST, but as good for a test";
    const SHA256: &str = "ef2fab76f5813bbf93586912e675fd32bbbc1d4c43214ffe601838849f3ed445";
    const FILE: Known<'static> = Known { name: "file", sha256: SHA256, bytes: CONTENT.len() as u64 };

    /// The offsets asked for, in order.
    type Log = Arc<Mutex<Vec<usize>>>;
    /// Status and extra header, the announced length, and the body for an offset.
    type Reply = fn(usize) -> (String, usize, Vec<u8>);

    fn packed() -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(CONTENT).unwrap();
        gzip.finish().unwrap()
    }

    fn serve(answer: Reply) -> (String, Log) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/base/", listener.local_addr().unwrap());
        let log = Log::default();
        let seen = log.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
                let request: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
                assert!(request[0].starts_with("GET /base/file.gz "), "{}", request[0]);
                let offset = request
                    .iter()
                    .map(|line| line.to_lowercase())
                    .find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok());
                seen.lock().unwrap().push(offset.unwrap_or(0));
                let (status, length, body) = answer(offset.unwrap_or(0));
                let rest = format!("Content-Length: {length}\r\nConnection: close\r\n\r\n");
                // An empty status closes the connection without a word.
                if !status.is_empty() {
                    let head = format!("HTTP/1.1 {status}\r\n{rest}");
                    let _ = stream.write_all(&[head.into_bytes(), body].concat());
                }
            }
        });
        (address, log)
    }

    fn good(offset: usize) -> (String, usize, Vec<u8>) {
        let all = packed();
        match offset {
            0 => ("200 OK".into(), all.len(), all),
            n if n >= all.len() => ("416 Range Not Satisfiable".into(), 0, vec![]),
            n => {
                let range = format!("Content-Range: bytes {n}-{}/{}", all.len() - 1, all.len());
                (format!("206 Partial Content\r\n{range}"), all.len() - n, all[n..].to_vec())
            }
        }
    }

    const WHOLE: Reply = |_| good(0);
    const MISSING: Reply = |_| ("404 Not Found".into(), 2, b"no".to_vec());
    const SILENT: Reply = |_| (String::new(), 0, vec![]);
    const ENDLESS: Reply = |_| ("200 OK".into(), 1 << 20, vec![7; 1 << 20]);
    const CORRUPT: Reply = |_| ("200 OK".into(), 40, [&packed()[..20], &[0; 20]].concat());
    const WRONG: Reply = |_| ("200 OK".into(), 5, b"other".to_vec());

    /// Breaks off after ten bytes unless asked to continue.
    fn halting(offset: usize) -> (String, usize, Vec<u8>) {
        let (status, length, mut body) = good(offset);
        body.truncate(if offset == 0 { 10 } else { length });
        (status, length, body)
    }

    /// Fetches with `part` already there; gives the result, the offsets asked of each mirror and
    /// the names left in the folder.
    fn run(answers: &[Reply], part: &[u8]) -> (Result<(), DataError>, Vec<Vec<usize>>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        if !part.is_empty() {
            fs::write(folder.path().join("file.gz.part"), part).unwrap();
        }
        let (mirrors, logs): (Vec<_>, Vec<_>) = answers.iter().map(|a| serve(*a)).unzip();
        let result = fetch(&mirrors, folder.path(), &[FILE]);
        if result.is_ok() {
            assert_eq!(fs::read(folder.path().join("file.gz")).unwrap(), packed());
            // What is there is not asked for again.
            fetch(&[], folder.path(), &[FILE]).unwrap();
        }
        let entries = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let names = entries.filter_map(|n| n.into_string().ok()).filter(|n| n != ".lock").collect();
        (result, logs.iter().map(|l| l.lock().unwrap().clone()).collect(), names)
    }

    /// The mirrors, what the `.part` file holds at first, and the offsets each mirror is asked for.
    type Case<'a> = (&'a [Reply], &'a [u8], &'a [&'a [usize]]);

    #[test]
    fn downloads_finish_whatever_the_server_does() {
        let (all, junk, huge) = (packed(), [9; 30], [9; 5000]);
        let cases: [Case; 12] = [
            (&[good], &[], &[&[0]]),
            (&[good], &all[..20], &[&[20]]),
            (&[good], &all, &[&[all.len()]]),
            (&[good], &junk, &[&[30, 0]]),
            (&[good], &[&all[..], &junk].concat(), &[&[all.len() + 30, 0]]),
            (&[good], &huge, &[&[0]]),
            (&[WHOLE], &all[..20], &[&[20, 0]]),
            (&[halting], &[], &[&[0, 10]]),
            (&[MISSING, good], &all[..20], &[&[20], &[20]]),
            (&[SILENT, good], &[], &[&[0], &[0]]),
            (&[CORRUPT, good], &[], &[&[0], &[0]]),
            (&[ENDLESS, WRONG, good], &[], &[&[0], &[0], &[0]]),
        ];
        for (i, (answers, part, asked)) in cases.into_iter().enumerate() {
            let (result, log, names) = run(answers, part);
            result.unwrap_or_else(|e| panic!("case {i}: {e}"));
            assert_eq!(log, asked, "case {i}");
            assert_eq!(names, ["file.gz"], "case {i}");
        }
    }

    #[test]
    fn failing_mirrors_are_all_named_and_leave_nothing_that_looks_complete() {
        let (result, _, names) = run(&[WRONG, MISSING, CORRUPT, WRONG], &[]);
        assert!(names.is_empty(), "{names:?}");
        let message = result.unwrap_err().to_string();
        let offline = ["--data DIR", "MIDGE_DATA", "--data synthetic"];
        for part in ["file.gz", SHA256, "status 404", "damage"].into_iter().chain(offline) {
            assert!(message.contains(part), "{part} is not in {message}");
        }
        assert_eq!(message.matches("http://127.0.0.1").count(), 4);
        assert!(message.contains("by hand"), "{message}");
    }

    #[test]
    fn without_curl_the_message_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let part = folder.path().join("part");
        let mut file = File::create(&part).unwrap();
        let command = curl("no-such-program", "http://127.0.0.1:9/", 0);
        let result = transfer(command, (&mut file, &part), 0, 10, "");
        let Err(Failure::Remote { reason, again: false }) = result else { panic!("expected a failure") };
        assert!(reason.contains("the program curl"), "{reason}");
    }

    #[test]
    fn the_status_is_read_from_what_curl_says() {
        assert_eq!(status("curl: (22) The requested URL returned error: 416\n"), Some(416));
        assert_eq!(status("curl: (22) The requested URL returned error: 404 Not Found"), Some(404));
        assert_eq!([status(""), status("error: no"), status("error: é")], [None; 3]);
    }
}
