//! Files of torch.save: a pickle that says which tensors there are, and their numbers, in a zip archive or, as old versions write
//! them, behind each other.
//!
//! ```text
//! new    zip archive    NAME/data.pkl   the pickle          NAME/data/KEY    the numbers of a storage
//! old    pickles        magic number, version, system, the pickle, keys;      for each key: length, numbers
//! ```

mod objects;
mod pickle;

use std::borrow::Cow;
use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use half::{bf16, f16};
use midge_core::MAX_ELEMENTS;

use super::graph::Array;
use crate::zip::Archive;
use objects::{Element, Id, Object, Pickle, Storage};
pub use pickle::PickleError;

/// Longest pickle that is read: that of a hundred times the layers that midge has.
const MAX_PICKLE: usize = 4 << 20;
/// Most tensors of a `state_dict`.
const MAX_TENSORS: usize = 4096;
/// How deep in dictionaries a state_dict is looked for.
const MAX_DEPTH: usize = 4;

/// Whether the entries of an archive are those of torch.save.
pub(super) fn is_torch(archive: &Archive<'_>) -> bool {
    archive.entries.iter().any(|entry| is_pickle(&entry.name))
}

fn is_pickle(name: &str) -> bool {
    name == "data.pkl" || name.strip_suffix("/data.pkl").is_some_and(|folder| !folder.contains('/'))
}

/// The tensors of a `state_dict`, in its order, and what was unwrapped.
pub(super) type Tensors = (Vec<(String, Array)>, Vec<String>);

/// Reads a new file.
pub(super) fn read_archive(archive: &Archive<'_>) -> Result<Tensors> {
    let pickle = archive.entries.iter().find(|entry| is_pickle(&entry.name)).context("expected an entry data.pkl")?;
    let folder = pickle.name.strip_suffix("data.pkl").unwrap_or_default();
    let has = |name: &str| archive.entries.iter().any(|entry| entry.name.strip_prefix(folder) == Some(name));
    ensure!(
        !has("constants.pkl"),
        "a TorchScript file, whose network is a program: expected a state_dict; in Python: \
         torch.save(torch.jit.load(FILE).state_dict(), \"state.pt\")"
    );
    if has("byteorder") {
        let order = archive.content(&format!("{folder}byteorder"))?;
        ensure!(order.trim_ascii() == b"little", "expected numbers with the lowest byte first, found another order");
    }
    let bytes = archive.content(&pickle.name)?;
    let pickle = pickle::read(&bytes[..bytes.len().min(MAX_PICKLE)])?;
    tensors(&pickle, &|storage| Ok(Cow::Owned(archive.content(&format!("{folder}data/{}", storage.key))?)))
}

/// Reads an old file.
pub(super) fn read_legacy(bytes: &[u8]) -> Result<Tensors> {
    let mut rest = bytes;
    let mut next = |what: &str| -> Result<Pickle> {
        let pickle = pickle::read(&rest[..rest.len().min(MAX_PICKLE)]).with_context(|| what.to_string())?;
        rest = &rest[pickle.length..];
        Ok(pickle)
    };
    for what in ["the magic number", "the version", "the system"] {
        next(what)?;
    }
    let (pickle, keys) = (next("the tensors")?, next("the keys of the numbers")?);
    let Object::List(ids) = keys.get(keys.root) else { bail!("expected a list of keys behind the pickle") };
    let elements = elements(&pickle);
    let mut storages = BTreeMap::new();
    for id in ids {
        let key = keys.text(*id).context("expected a list of keys behind the pickle")?;
        let element = *elements.get(key).with_context(|| format!("no tensor has the numbers of key {key:?}"))?;
        let (length, behind) = rest.split_first_chunk::<8>().context("the file ends where numbers were expected")?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok().and_then(|n| n.checked_mul(element.bytes()));
        let numbers = length.and_then(|length| behind.get(..length));
        let numbers =
            numbers.with_context(|| format!("the file ends among the numbers of key {key:?}: was it cut?"))?;
        rest = &behind[numbers.len()..];
        storages.insert(key.to_string(), numbers);
    }
    tensors(&pickle, &|storage| {
        let numbers = storages.get(&storage.key);
        Ok(Cow::Borrowed(*numbers.with_context(|| format!("no numbers of key {:?}", storage.key))?))
    })
}

/// The types of all storages that a pickle names.
fn elements(pickle: &Pickle) -> BTreeMap<&str, Element> {
    let storages = pickle.objects.iter().filter_map(|object| match object {
        Object::Storage(storage) => Some((storage.key.as_str(), storage.element)),
        _ => None,
    });
    storages.collect()
}

/// Where the numbers of a storage are.
type Numbers<'s> = &'s dyn Fn(&Storage) -> Result<Cow<'s, [u8]>>;

fn tensors(pickle: &Pickle, numbers: Numbers<'_>) -> Result<Tensors> {
    let mut notes = Vec::new();
    let entries = state_dict(pickle, pickle.root, &mut notes, 0)?;
    // Tensors may share numbers, but not so many times that a small file fills the memory.
    let mut budget = MAX_ELEMENTS as u64;
    ensure!(entries.len() <= MAX_TENSORS, "expected at most {MAX_TENSORS} tensors, found {}", entries.len());
    let mut tensors = Vec::new();
    for (name, id) in entries {
        let Object::Tensor { .. } = pickle.get(id) else {
            notes.push(format!("{name}: no tensor, left out"));
            continue;
        };
        // A counter says nothing about the function.
        if name.ends_with("num_batches_tracked") {
            continue;
        }
        let tensor = tensor(pickle, id, numbers, &mut budget).with_context(|| format!("tensor {name:?}"))?;
        tensors.push((name, tensor));
    }
    Ok((tensors, notes))
}

fn storage_of(pickle: &Pickle, id: Id) -> Option<&Storage> {
    let Object::Tensor { storage, .. } = pickle.get(id) else { return None };
    if let Object::Storage(storage) = pickle.get(*storage) { Some(storage) } else { None }
}

/// The names and tensors of the dictionary that is a `state_dict`, which may lie in another one.
fn state_dict(pickle: &Pickle, id: Id, notes: &mut Vec<String>, depth: usize) -> Result<Vec<(String, Id)>> {
    let entries = match pickle.get(id) {
        Object::Dict(entries) if depth < MAX_DEPTH => entries,
        Object::Tensor { .. } => {
            bail!("the file holds one tensor: expected a state_dict, model.state_dict() in Python")
        }
        _ => bail!("expected a state_dict, a dictionary of tensors, found something else"),
    };
    let named = entries.iter().filter_map(|(key, value)| Some((pickle.text(*key)?.to_string(), *value)));
    let named: Vec<(String, Id)> = named.collect();
    if named.iter().any(|(_, id)| matches!(pickle.get(*id), Object::Tensor { .. })) {
        return Ok(named);
    }
    let holds_tensors = |id: Id| match pickle.get(id) {
        Object::Dict(entries) => {
            entries.iter().any(|(_, id)| matches!(pickle.get(*id), Object::Tensor { .. } | Object::Dict(_)))
        }
        _ => false,
    };
    let inner: Vec<&(String, Id)> = named.iter().filter(|(_, id)| holds_tensors(*id)).collect();
    let mut chosen = ["state_dict", "model_state_dict", "model_state", "model"].iter();
    let chosen = chosen.find_map(|key| inner.iter().find(|(name, _)| name == key));
    let keys: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).take(16).collect();
    match (chosen, &inner[..]) {
        (Some((name, id)), _) | (None, [(name, id)]) => {
            notes.push(format!("the weights are those of {name:?} in a dictionary of {}", keys.join(", ")));
            state_dict(pickle, *id, notes, depth + 1)
        }
        (None, []) => bail!("expected a state_dict, a dictionary of tensors, found one of {keys:?}"),
        (None, several) => {
            let several: Vec<&str> = several.iter().map(|(name, _)| name.as_str()).collect();
            bail!(
                "the file holds several dictionaries of tensors, {several:?}: save one, with torch.save(FILE[NAME], ...)"
            )
        }
    }
}

/// A tensor's numbers in its own order.
fn tensor(pickle: &Pickle, id: Id, numbers: Numbers<'_>, budget: &mut u64) -> Result<Array> {
    let Object::Tensor { offset, sizes, strides, .. } = pickle.get(id) else { bail!("expected a tensor") };
    let storage = storage_of(pickle, id).context("expected the storage of a tensor")?;
    let Object::Integer(offset) = pickle.get(*offset) else { bail!("expected an offset") };
    let offset = usize::try_from(*offset).context("its offset is negative")?;
    let (sizes, strides) =
        pickle.integers(*sizes).zip(pickle.integers(*strides)).context("expected sizes and strides")?;
    ensure!(
        sizes.len() == strides.len() && sizes.len() <= 8,
        "expected as many strides as sizes, at most 8, found {sizes:?} and {strides:?}"
    );
    let count = sizes.iter().try_fold(1u64, |product, size| product.checked_mul(*size as u64));
    let bytes = numbers(storage)?;
    let all = floats(&bytes, storage.element)?;
    let count = count.filter(|count| *count <= *budget && *count <= all.len() as u64);
    *budget -= count
        .with_context(|| format!("dimensions {sizes:?} are more than the {} numbers that there are", all.len()))?;
    let mut data = Vec::new();
    let mut at = vec![0usize; sizes.len()];
    for _ in 0..count.unwrap_or(0) {
        let place =
            at.iter().zip(&strides).try_fold(offset, |sum, (i, stride)| sum.checked_add(i.checked_mul(*stride)?));
        let number = place.and_then(|place| all.get(place));
        data.push(*number.with_context(|| format!("dimensions {sizes:?} reach beyond its {} numbers", all.len()))?);
        for axis in (0..sizes.len()).rev() {
            at[axis] += 1;
            if at[axis] < sizes[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
    Ok(Array { shape: sizes, data })
}

fn floats(bytes: &[u8], element: Element) -> Result<Vec<f32>> {
    ensure!(
        bytes.len().is_multiple_of(element.bytes()),
        "{} bytes are no numbers of {} bytes",
        bytes.len(),
        element.bytes()
    );
    Ok(match element {
        Element::F64 => bytemuck::pod_collect_to_vec::<u8, f64>(bytes).into_iter().map(|x| x as f32).collect(),
        Element::F32 => bytemuck::pod_collect_to_vec(bytes),
        Element::F16 => bytemuck::pod_collect_to_vec::<u8, f16>(bytes).into_iter().map(f16::to_f32).collect(),
        Element::BF16 => bytemuck::pod_collect_to_vec::<u8, bf16>(bytes).into_iter().map(bf16::to_f32).collect(),
        Element::Integer(_) => bail!("expected numbers of type float, half, bfloat16 or double, found integers"),
    })
}
