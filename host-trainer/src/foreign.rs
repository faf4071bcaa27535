//! Files that are no model of midge's: what they look like, and the way from there.

use std::fs::File;
use std::io::{Read, stdin};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use midge_core::METADATA_NETWORK;

use crate::tensors;
use crate::tflite::IDENTIFIER;
use crate::zip;

/// Bytes that are looked at before the rest of a file is read: its kind is known from them.
pub(crate) const HEAD: u64 = 1 << 16;
/// Longest header of a safetensors file, by the format.
const MAX_HEADER: u64 = 100_000_000;

const SAVE: &str = "in Python: safetensors.torch.save_file(model.state_dict(), \"state.safetensors\")";
const WEIGHTS: &str = "bring its weights as a PyTorch state_dict in safetensors";
const IMPORT: &str = "midge import makes a midge model of its file";
const MODELS: &str = "--model and import take models";
/// What `--data` and `--against` say where the hints above are about models.
const DATA: &str =
    "--data takes pictures, folders of them, safetensors, .npy, .npz, and the files of MNIST and CIFAR-10";
const TENSORS: &str = "expected safetensors, or .npz of numpy.savez";

/// A kind of file that is recognised: what it is and what to do about it.
type Kind = (&'static str, &'static str);

/// The number that old files of torch.save start with, as a pickle.
pub(crate) const LEGACY_TORCH: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
/// First bytes of an HDF5 file.
pub(crate) const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Whether a file begins as an ONNX model does: a protocol buffer with the version of the format, then another of the model's
/// fields.
pub(crate) fn is_onnx(head: &[u8]) -> bool {
    matches!(head, [0x08, 1..=30, 0x12 | 0x1a | 0x22 | 0x28 | 0x32 | 0x3a | 0x42, ..])
}

const NPZ: Kind = ("a NumPy archive", WEIGHTS);

/// First bytes of files, and their kinds.
const MAGIC: [(&[u8], Kind); 20] = [
    (b"\x89HDF\r\n\x1a\n", ("an HDF5 file, such as Keras writes", IMPORT)),
    (b"\x1f\x8b", ("compressed with gzip", "unpack it with gunzip")),
    (b"BZh", ("compressed with bzip2", "unpack it with bunzip2")),
    (b"\xfd7zXZ", ("compressed with xz", "unpack it with unxz")),
    (b"\x28\xb5\x2f\xfd", ("compressed with zstd", "unpack it with unzstd")),
    (b"7z\xbc\xaf\x27\x1c", ("a 7-Zip archive", "unpack it")),
    (b"Rar!", ("a RAR archive", "unpack it")),
    (b"\x93NUMPY", ("a NumPy array", WEIGHTS)),
    (b"GGUF", ("a GGUF file", WEIGHTS)),
    (b"\x89PNG", ("a PNG image", MODELS)),
    (b"\xff\xd8\xff", ("a JPEG image", MODELS)),
    (b"%PDF", ("a PDF file", MODELS)),
    (b"\x7fELF", ("a program", MODELS)),
    (b"\0\0\x08\x01", ("an IDX file of labels", "--data takes its folder")),
    (b"\0\0\x08\x03", ("an IDX file of images", "--data takes its folder")),
    (b"version https://git-lfs", ("a pointer of Git LFS, not the file itself", "fetch it with git lfs pull")),
    (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9", ("a file of an old torch.save (a pickle)", IMPORT)),
    (b"\x80\x02", ("a Python pickle, such as old versions of torch.save write", SAVE)),
    (b"\x80\x03", ("a Python pickle", SAVE)),
    (b"\x80\x04", ("a Python pickle", SAVE)),
];

/// Reads a file that should be in the safetensors format; `-` is standard input.
///
/// # Errors
/// If it cannot be read or is of another kind; the caller names the file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    open(path, check)
}

/// Reads a file of any kind that an import may know; `-` is standard input.
///
/// # Errors
/// Those of [`read`].
pub(crate) fn read_any(path: &Path) -> Result<Vec<u8>> {
    open(path, |head| if is_model(head) { Ok(()) } else { check(head) })
}

/// Reads a file of tensors, safetensors or a NumPy archive; `-` is standard input.
///
/// # Errors
/// Those of [`read`].
pub(crate) fn read_tensors(path: &Path) -> Result<Vec<u8>> {
    open(path, |head| if container(head) == Some(NPZ) { Ok(()) } else { check_with(head, TENSORS) })
}

/// Whether a file that starts with `head` is of a kind whose models are read.
pub(crate) fn is_model(head: &[u8]) -> bool {
    is_tflite(head) || is_onnx(head) || [zip::MAGIC, LEGACY_TORCH, HDF5].iter().any(|magic| head.starts_with(magic))
}

/// What messages call a file.
pub(crate) fn name(path: &Path) -> String {
    if path == Path::new("-") { "standard input".into() } else { path.display().to_string() }
}

fn open(path: &Path, check: impl Fn(&[u8]) -> Result<()>) -> Result<Vec<u8>> {
    if path == Path::new("-") {
        return read_from(stdin().lock(), check);
    }
    ensure!(!path.is_dir(), "is a folder, not a model file");
    read_from(File::open(path).context("cannot be read")?, check)
}

fn read_from(mut file: impl Read, check: impl Fn(&[u8]) -> Result<()>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.by_ref().take(HEAD).read_to_end(&mut bytes).context("cannot be read")?;
    check(&bytes)?;
    file.read_to_end(&mut bytes).context("cannot be read")?;
    Ok(bytes)
}

/// Whether a file that starts with `head` says of itself that it is a `.tflite` file.
pub(crate) fn is_tflite(head: &[u8]) -> bool {
    head.get(4..8) == Some(&IDENTIFIER[..])
}

/// The bytes of a `.tflite` file; `None` if the file is of another kind or cannot be read, or is standard input.
pub(crate) fn read_tflite(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = File::open(path).ok()?;
    file.by_ref().take(8).read_to_end(&mut bytes).ok()?;
    if !is_tflite(&bytes) {
        return None;
    }
    file.read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// An error if a file that starts with `head` cannot be a safetensors file, with what it looks like.
fn check(head: &[u8]) -> Result<()> {
    check_hinting(head, |hint| hint)
}

/// [`check`] of a file that should hold images.
pub(crate) fn check_data(head: &[u8]) -> Result<()> {
    check_with(head, DATA)
}

/// [`check`], with `instead` for hints that are about models.
fn check_with(head: &[u8], instead: &'static str) -> Result<()> {
    check_hinting(head, |hint| if [SAVE, WEIGHTS, IMPORT, MODELS].contains(&hint) { instead } else { hint })
}

fn check_hinting(head: &[u8], hint_for: impl Fn(&'static str) -> &'static str) -> Result<()> {
    if head.is_empty() {
        bail!("the file is empty");
    }
    let length = head.first_chunk::<8>().map(|length| u64::from_le_bytes(*length));
    // White space before the brace is for the reader to judge.
    let json = head.get(8..).unwrap_or(&[]).trim_ascii_start().first();
    if length.is_some_and(|length| length <= MAX_HEADER) && matches!(json, None | Some(b'{')) {
        return Ok(());
    }
    match kind(head) {
        Some((what, hint)) => bail!("not a safetensors file: it looks like {what}; {}", hint_for(hint)),
        None => bail!("not a safetensors file, nor one of a kind that midge knows"),
    }
}

/// What a file looks like that starts with `head`.
pub(crate) fn looks_like(head: &[u8]) -> &'static str {
    let unknown = if head.is_empty() { "an empty file" } else { "a file of no kind that midge knows" };
    kind(head).filter(|_| !head.is_empty()).map_or(unknown, |(what, _)| what)
}

fn kind(head: &[u8]) -> Option<Kind> {
    let known = MAGIC.iter().find(|(magic, _)| head.starts_with(magic));
    known.map(|(_, kind)| *kind).or_else(|| container(head)).or_else(|| text(head))
}

/// Kinds that are not known by their first bytes alone.
fn container(head: &[u8]) -> Option<Kind> {
    let has = |text: &[u8]| head.windows(text.len()).any(|window| window == text);
    if head.starts_with(b"PK") {
        return Some(if has(b"data.pkl") || has(b"constants.pkl") {
            ("a file of torch.save (a zip archive)", IMPORT)
        } else if has(b".npy") {
            NPZ
        } else if has(b"model.weights.h5") || has(b"config.json") {
            ("a Keras file (a zip archive)", IMPORT)
        } else {
            ("a zip archive; torch.save writes those too", SAVE)
        });
    }
    match head {
        [_, _, _, _, b'T', b'F', b'L', b'3', ..] => Some(("a TensorFlow Lite model", IMPORT)),
        // Two protocols have no number of their own above; the rest of a pickle says nothing to look for.
        [0x80, 0 | 1 | 5, ..] => Some(("a Python pickle", SAVE)),
        _ if is_onnx(head) => Some(("an ONNX model", IMPORT)),
        _ if head.get(257..262) == Some(b"ustar") => Some(("a tar archive", "unpack it")),
        _ => None,
    }
}

fn text(head: &[u8]) -> Option<Kind> {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let start = head.get(..head.len().min(512)).unwrap_or(head).to_ascii_lowercase();
    if [&b"<!doctype"[..], b"<html", b"<?xml", b"<head", b"<!--"].iter().any(|tag| start.starts_with(tag)) {
        return Some(("a web page, perhaps the error of a download", "look at it, and fetch the file again"));
    }
    if start.starts_with(b"{") || start.starts_with(b"[") {
        return Some(("JSON, without the tensors", "the weights are in another file"));
    }
    let printable = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
    start.iter().all(printable).then_some(("text", MODELS))
}

/// What a sound safetensors file is that is not a model of midge's.
pub(crate) fn safetensors_kind(bytes: &[u8]) -> Option<&'static str> {
    let header = tensors::header_of(bytes).ok()?;
    let metadata = header.metadata().clone().unwrap_or_default();
    if header.tensors().keys().any(|name| name.starts_with("weights.")) && metadata.contains_key(METADATA_NETWORK) {
        return Some("it is a checkpoint of midge train, which --resume reads; the model is the file beside it");
    }
    if ["images", "input_int8"].iter().any(|name| header.info(name).is_some()) {
        return Some("it is a safetensors file of images, which --data takes");
    }
    Some("it is a safetensors file, but no model of midge's: midge import reads a PyTorch state_dict")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_files_are_named() {
        let tar = [vec![b'a'; 257], b"ustar".to_vec()].concat();
        for (bytes, what) in [
            (&b""[..], "empty"),
            (b"PK\x03\x04...state/data.pkl", "torch.save"),
            (b"PK\x03\x04...config.json", "Keras"),
            (b"PK\x03\x04...a.npy", "NumPy"),
            (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "old torch.save"),
            (b"\x80\x04\x95....", "pickle"),
            (b"\x80\x05\x95....", "pickle"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "git lfs pull"),
            (b"\n<!DOCTYPE html><title>403</title>", "web page"),
            (b"\xef\xbb\xbf<HTML>", "web page"),
            (b"<?xml version=\"1.0\"?><Error/>", "web page"),
            (b"\x08\x08\x12\x07pytorch\x1a\x050.4.1", "ONNX"),
            (b"\x08\x09:\x83\x01\x0a", "ONNX"),
            (b"\x89HDF\r\n\x1a\n....", "HDF5"),
            (b"\x1f\x8b\x08.......", "gunzip"),
            (b"\x1c\0\0\0TFL3....", "TensorFlow Lite"),
            (&tar, "tar archive"),
            (b"{\"metadata\": {}, \"weight_map\": {}}", "JSON"),
            (b"hello", "text"),
            (b"\x00\x01\x02\x03\x04\x05\x06\x07\xff", "nor one of a kind"),
        ] {
            let message = read_from(bytes, check).unwrap_err().to_string();
            assert!(message.contains(what), "{what}: {message}");
        }
    }

    #[test]
    fn what_could_be_safetensors_is_read_whole() {
        let long = [&200_000u64.to_le_bytes(), b"{".as_slice(), &[b' '; 300_000]].concat();
        assert_eq!(read_from(&long[..], check).unwrap(), long);
        // Cut short: the reader says where.
        assert_eq!(read_from(&long[..8], check).unwrap(), long[..8]);
        // Its header happens to be as long as a magic number says.
        let zip = [b"PK\x03\x04\0\0\0\0", b"{".as_slice()].concat();
        assert_eq!(read_from(&zip[..], check).unwrap(), zip);
    }
}
