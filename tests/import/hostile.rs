//! Files that are wrong, by accident or on purpose: each is an error that says what is wrong; nothing is executed, nothing
//! panics.

use std::panic::{AssertUnwindSafe, catch_unwind};

use midge_trainer::import::{Hdf5Error, Hints, OnnxError, PickleError, ZipError, from_bytes, import};

use super::{folder, models};

/// Mutations of each file; `MIDGE_MUTATIONS` says another number.
const MUTATIONS: usize = 1500;

fn error(bytes: &[u8]) -> anyhow::Error {
    from_bytes(bytes, &Hints::default()).expect_err("a file that is wrong")
}

/// The first error of a kind among the causes of another.
fn cause<E: std::error::Error + Send + Sync + 'static>(error: &anyhow::Error) -> &E {
    error.chain().find_map(|cause| cause.downcast_ref()).unwrap_or_else(|| panic!("{error:#}"))
}

/// A zip archive of entries that are stored.
fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut records) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let length = (content.len() as u32).to_le_bytes();
        let sizes =
            [&[0; 8][..], &crc.sum().to_le_bytes(), &length, &length, &(name.len() as u16).to_le_bytes(), &[0; 2]];
        let place = (file.len() as u32).to_le_bytes();
        let common = [&[20, 0][..], &sizes.concat()].concat();
        records.extend([b"PK\x01\x02\x14\0", &common[..], &[0; 10], &place, name.as_bytes()].concat());
        file.extend([b"PK\x03\x04", &common[..], name.as_bytes(), content].concat());
    }
    let (count, place) = ((entries.len() as u16).to_le_bytes(), (file.len() as u32).to_le_bytes());
    let length = (records.len() as u32).to_le_bytes();
    [&file[..], &records, b"PK\x05\x06\0\0\0\0", &count, &count, &length, &place, &[0; 2]].concat()
}

/// A new file of torch.save with this pickle and 64 bytes of numbers.
fn torch(pickle: &[u8]) -> Vec<u8> {
    archive(&[("m/data.pkl", pickle), ("m/byteorder", b"little"), ("m/data/0", &[0; 64])])
}

#[test]
fn no_pickle_runs_anything() {
    let folder = tempfile::tempdir().unwrap();
    let witness = folder.path().join("executed");
    let command = format!("touch {}", witness.display());
    let text = [b"X", &(command.len() as u32).to_le_bytes()[..], command.as_bytes()].concat();
    let old = [b"\x80\x02cos\nsystem\n", &text[..], b"\x85R."].concat();
    let new = [b"\x80\x04\x8c\x05posix\x8c\x06system\x93", &text[..], b"\x85R."].concat();
    let built = [b"\x80\x02c__builtin__\neval\n", &text[..], b"\x85R."].concat();
    let object = [b"\x80\x02c__main__\nNet\n", &b")\x81}b."[..]].concat();
    for (pickle, name) in
        [(&old, "os.system"), (&new, "posix.system"), (&built, "__builtin__.eval"), (&object, "__main__.Net")]
    {
        let magic = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.";
        for file in [torch(pickle), [&magic[..], pickle, b"\x80\x02]."].concat()] {
            let error = error(&file);
            let PickleError::Global { module, name: function, .. } = cause(&error) else { panic!("{error:#}") };
            assert_eq!(format!("{module}.{function}"), name);
            assert!(format!("{error:#}").contains("nothing was executed"), "{error:#}");
        }
    }
    assert!(!witness.exists());
}

#[test]
fn small_files_that_claim_much_are_refused() {
    // A tensor of 2^40 numbers that all are the first one.
    let storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x10tQ";
    let huge = b"J\0\0\0\x7f";
    let tensor = [&b"ctorch._utils\n_rebuild_tensor_v2\n("[..], storage, b"K\0(", huge, huge, b"tK\0K\0\x86"].concat();
    let rest = b"\x89ccollections\nOrderedDict\n)RtR";
    let pickle = [&b"\x80\x02}X\x08\0\0\0a.weight"[..], &tensor, rest, b"s."].concat();
    assert!(format!("{:#}", error(&torch(&pickle))).contains("are more than the 16 numbers"));
    // Tuples in tuples, a list in itself, an end in the middle.
    let deep = [&b"\x80\x02)"[..], &vec![0x85; 1 << 20], b"."].concat();
    assert!(format!("{:#}", error(&torch(&deep))).contains("expected a state_dict"));
    assert!(format!("{:#}", error(&torch(b"\x80\x02]q\0h\0a."))).contains("expected a state_dict"));
    let circle = b"\x80\x02}q\0X\x01\0\0\0ah\0s.";
    assert!(format!("{:#}", error(&torch(circle))).contains("expected a state_dict"));
    assert!(matches!(cause(&error(&torch(b"\x80\x02}"))), PickleError::End { .. }));
    assert!(matches!(cause(&error(&torch(b"\x80\x02P"))), PickleError::Opcode { opcode: b'P', .. }));
    assert!(matches!(cause(&error(&torch(b"\x80\x02a."))), PickleError::Stack { .. }));
    // A million zeros that claim to be a billion.
    let mut bomb = torch(b"\x80\x02}.");
    let at = bomb.windows(10).rposition(|window| window == b"m/data.pkl").unwrap();
    bomb[at - 36] = 8;
    bomb[at - 22..at - 18].copy_from_slice(&(1u32 << 30).to_le_bytes());
    assert!(matches!(cause(&error(&bomb)), ZipError::Damaged(_)));
}

#[test]
fn onnx_files_that_are_wrong_are_refused() {
    let refused = |name: &str| import(&folder().join(format!("wrong/{name}.onnx")), &Hints::default()).unwrap_err();
    assert!(matches!(cause(&refused("cyclic")), OnnxError::Order { is_cyclic: true, .. }));
    assert!(
        matches!(cause(&refused("undefined")), OnnxError::Order { is_cyclic: false, value, .. } if value == "missing")
    );
    assert!(matches!(cause(&refused("opset6")), OnnxError::Opset { found: 6, .. }));
    for (name, file) in [("external", "external.data"), ("outside", "../../../etc/passwd")] {
        let error = refused(name);
        let OnnxError::External { tensor, location, .. } = cause(&error) else { panic!("{error:#}") };
        assert_eq!((&tensor[..], &location[..]), ("weight", file));
    }
    // All at once, with their nodes.
    let message = format!("{:#}", refused("operators"));
    assert!(message.contains("no Resize (up), no Sigmoid (gate, gate2)"), "{message}");
    for (name, expected) in
        [("softmax_inside", "a Softmax puts out"), ("dilated", "dilation of 1"), ("open", "say --size HEIGHTxWIDTH")]
    {
        let message = format!("{:#}", refused(name));
        assert!(message.contains(expected), "{message}");
    }
    // The numbers in the second file, where it is.
    let folder = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(super::folder().join("wrong/external.onnx")).unwrap();
    std::fs::write(folder.path().join("external.onnx"), bytes).unwrap();
    std::fs::write(folder.path().join("external.data"), [1f32; 32].map(f32::to_le_bytes).as_flattened()).unwrap();
    let weights = import(&folder.path().join("external.onnx"), &Hints::default()).unwrap();
    assert_eq!(weights.tensors[0].as_slice(), [1.0; 32]);
}

#[test]
fn other_forms_are_named() {
    assert!(matches!(cause(&error(b"\x89HDF\r\n\x1a\n\x03\x08\x08\0")), Hdf5Error::Form { .. }));
    assert!(matches!(cause(&error(b"\x89HDF\r\n\x1a\n\0")), Hdf5Error::Damaged { .. }));
    assert!(matches!(cause(&error(b"PK\x03\x04")), ZipError::NoIndex));
    assert!(matches!(cause(&error(b"\x08\x08\x12\x02x")), OnnxError::Wire));
    assert!(matches!(cause(&error(b"\x08\x08\x12\x01x")), OnnxError::NoGraph));
    assert!(format!("{:#}", error(&archive(&[("a.txt", b"a")]))).contains("none of torch.save's or Keras's"));
    let script = archive(&[("m/data.pkl", b"\x80\x02}."), ("m/constants.pkl", b"")]);
    assert!(format!("{:#}", error(&script)).contains("TorchScript"));
}

/// A generator of numbers (xorshift; Marsaglia, 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }

    /// The bytes with a few changes.
    fn mutated(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(6) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at.min(bytes.len()), self.below(256) as u8),
                2 if !bytes.is_empty() => drop(bytes.remove(at)),
                3 => {
                    let from = self.below(bytes.len());
                    let part = bytes.get(from..(from + 16).min(bytes.len())).unwrap_or(&[]).to_vec();
                    bytes.splice(at..at, part);
                }
                4 => bytes.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0xff),
                _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << self.below(8)),
            }
        }
        bytes
    }
}

/// The content of the entries of a file of ours, in an archive whose checksums are right.
fn repacked(bytes: &[u8], random: &mut Random) -> Option<Vec<u8>> {
    let mut entries = Vec::new();
    // Local heads are enough to find what was stored.
    let mut at = 0;
    while bytes.get(at..at + 4)? == b"PK\x03\x04" {
        let number = |from: usize, n: usize| {
            bytes[at + from..at + from + n].iter().rev().fold(0usize, |a, b| a << 8 | usize::from(*b))
        };
        let (length, name, more) = (number(18, 4), number(26, 2), number(28, 2));
        let start = at + 30 + name + more;
        let text = String::from_utf8(bytes.get(at + 30..at + 30 + name)?.to_vec()).ok()?;
        entries.push((text, bytes.get(start..start + length)?.to_vec()));
        at = start + length;
        // A descriptor behind the content.
        while bytes.get(at..at + 2).is_some_and(|magic| magic != b"PK") {
            at += 1;
        }
        if bytes.get(at..at + 4)? == b"PK\x07\x08" {
            at += 16;
            while bytes.get(at..at + 2).is_some_and(|magic| magic != b"PK") {
                at += 1;
            }
        }
    }
    let first = random.below(3).min(entries.len() - 1);
    entries[first].1 = random.mutated(&entries[first].1);
    let entries: Vec<(&str, &[u8])> = entries.iter().map(|(name, content)| (&name[..], &content[..])).collect();
    Some(archive(&entries))
}

#[test]
fn mutations_are_errors_or_models() {
    let count = std::env::var("MIDGE_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(MUTATIONS);
    let files = [
        "residual.pt",
        "residual.legacy.pt",
        "residual.lightning.ckpt",
        "residual.safetensors",
        "residual.opset7.onnx",
        "residual.dynamo.onnx",
        "keras_mnist.h5",
        "keras_mnist.keras",
    ];
    let models = models(&[".pt", ".ckpt", ".safetensors", ".onnx", ".h5", ".keras"]);
    let network = "input(16,16,3) conv2d(filters=6,kernel=3,padding=1) relu conv2d(filters=8,kernel=3,stride=2,padding=1) relu \
                   conv2d(filters=8,kernel=3,padding=1) from(layer=1) conv2d(filters=8,kernel=1,stride=2,padding=0) \
                   add(layer=4) relu avgpool2d(pool=8) flatten dense(units=5)";
    for (seed, file) in files.iter().enumerate() {
        let bytes = &models[*file];
        let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (seed as u64 + 1));
        let is_state = !file.contains("onnx") && !file.contains("keras");
        let hints = Hints { network: is_state.then(|| network.to_string()), ..Hints::default() };
        let mut read = 0;
        for i in 0..count {
            let packed = if i % 2 == 0 && bytes.starts_with(b"PK") { repacked(bytes, &mut random) } else { None };
            let mutated = packed.unwrap_or_else(|| random.mutated(bytes));
            let result = catch_unwind(AssertUnwindSafe(|| match from_bytes(&mutated, &hints) {
                Ok(imported) => {
                    imported.weights.to_bytes(imported.weights.dtype).expect("a model that was read can be written");
                    true
                }
                Err(error) => {
                    assert!(!format!("{error:#}").is_empty());
                    false
                }
            }));
            let Ok(is_model) = result else {
                let path = std::env::temp_dir().join(format!("midge-mutation-{i}-{file}"));
                std::fs::write(&path, &mutated).unwrap();
                panic!("{file}: mutation {i} panicked, see {}", path.display());
            };
            read += usize::from(is_model);
        }
        println!("{file}: {read} of {count} mutations are models");
        assert!(read < count, "{file}: no mutation was noticed");
    }
}
