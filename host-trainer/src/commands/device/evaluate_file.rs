//! The file of `midge device evaluate --out`, which `--resume` reads.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use midge_link::Cost;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

use super::super::tensor_file::{self, Values};
use crate::device::DeviceInfo;
use crate::device::evaluation::{Host, Measured, Own};
use crate::device::plan::Plan;
use crate::{foreign, tensors};

/// Largest file that is read.
const MOST: u64 = 1 << 32;

/// What the results belong to: those of something else are not mixed with them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Identity(BTreeMap<&'static str, String>);

impl Identity {
    pub(super) fn new(plan: &Plan<'_>, info: &DeviceInfo, hosts: &[Host], attack: String) -> Result<Self> {
        let checksums: Result<Vec<String>> = hosts.iter().map(|host| host.model.checksum()).collect();
        Ok(Self(BTreeMap::from([
            ("board", info.board.clone()),
            ("model", format!("{} {}", info.model, info.fingerprint)),
            ("hosts", checksums?.join(" ")),
            ("attack", attack),
            ("attack.seed", plan.attack.seed.to_string()),
            ("eps", plan.eps.to_string()),
            ("data", plan.data.name.clone()),
        ])))
    }
}

impl Identity {
    /// Whether a file is of the same evaluation.
    fn check(&self, bytes: &[u8]) -> Result<()> {
        let header = tensors::header_of(bytes)?;
        let metadata = header.metadata().as_ref().context("no metadata")?;
        for (key, expected) in &self.0 {
            let found = metadata.get(*key).with_context(|| format!("no metadata {key}"))?;
            ensure!(found == expected, "{key} is {found}: expected {expected}");
        }
        Ok(())
    }
}

/// The results as columns, an entry for each image.
#[derive(Default)]
struct Columns {
    places: Vec<i32>,
    labels: Vec<i32>,
    images: Vec<f32>,
    logits: Vec<f32>,
    adversarial: Vec<f32>,
    classes: Vec<i32>,
    read: Vec<i32>,
    /// Ticks of the forward pass and of the attack.
    ticks: Vec<i64>,
    stack: Vec<i32>,
    hosts: Vec<[Vec<f32>; 2]>,
}

/// Writes what is finished.
pub(super) fn write(
    path: &Path,
    identity: &Identity,
    (plan, hosts): (&Plan<'_>, &[Host]),
    done: &BTreeMap<usize, Measured>,
) -> Result<()> {
    const HOSTS: [[&str; 2]; 2] = [["host_logits", "host_adversarial"], ["reference_logits", "reference_adversarial"]];
    let columns = Columns::of(plan, hosts, done)?;
    let n = done.len();
    let classes = columns.logits.len() / n.max(1);
    let image = [vec![n], plan.data.shape.to_vec()].concat();
    let mut tensors = vec![
        ("places", vec![n], Values::I32(&columns.places)),
        ("labels", vec![n], Values::I32(&columns.labels)),
        ("images", image.clone(), Values::F32(&columns.images)),
        ("device_logits", vec![n, classes], Values::F32(&columns.logits)),
        ("device_reads_hosts", vec![n, hosts.len()], Values::I32(&columns.read)),
        ("device_ticks", vec![n, 2], Values::I64(&columns.ticks)),
        ("device_stack", vec![n, 2], Values::I32(&columns.stack)),
    ];
    if !columns.classes.is_empty() {
        tensors.push(("device_adversarial", image.clone(), Values::F32(&columns.adversarial)));
        tensors.push(("device_adversarial_class", vec![n], Values::I32(&columns.classes)));
    }
    // The last host has the board's type of weights.
    for ([logits, adversarial], names) in columns.hosts.iter().rev().zip(HOSTS) {
        tensors.push((names[0], vec![n, classes], Values::F32(logits)));
        tensors.push((names[1], image.clone(), Values::F32(adversarial)));
    }
    let mut metadata = identity.0.clone();
    metadata.insert("midge.version", env!("CARGO_PKG_VERSION").to_string());
    tensor_file::write(path, tensors, metadata)
}

impl Columns {
    fn of(plan: &Plan<'_>, hosts: &[Host], done: &BTreeMap<usize, Measured>) -> Result<Self> {
        let mut all = Self { hosts: hosts.iter().map(|_| <[Vec<f32>; 2]>::default()).collect(), ..Self::default() };
        let classes = plan.classes;
        for (index, Measured { logits, forward, own, read }) in done {
            all.places.push(plan.data.places[*index].try_into()?);
            all.labels.push(plan.labels[*index].try_into()?);
            all.images.extend_from_slice(plan.data.image(*index));
            all.logits.extend_from_slice(logits);
            for class in read {
                all.read.push((*class).try_into()?);
            }
            let attack = own.as_ref().map_or(Cost::default(), |own| own.cost);
            for cost in [*forward, attack] {
                all.ticks.push(cost.ticks.try_into()?);
                all.stack.push(cost.stack.try_into()?);
            }
            if let Some(own) = own {
                all.adversarial.extend_from_slice(&own.adversarial);
                all.classes.push(own.class.try_into()?);
            }
            for (host, [logits, adversarial]) in hosts.iter().zip(&mut all.hosts) {
                logits.extend_from_slice(&host.logits[index * classes..][..classes]);
                adversarial.extend_from_slice(&host.attacked[*index].adversarial);
            }
        }
        Ok(all)
    }
}

/// Reads what an earlier run of the same evaluation has finished, by the number of the image.
pub(super) fn read(
    path: &Path,
    identity: &Identity,
    (plan, hosts): (&Plan<'_>, &[Host]),
) -> Result<BTreeMap<usize, Measured>> {
    let name = || format!("{}: not what --resume can go on with", path.display());
    let len = std::fs::metadata(path).with_context(name)?.len();
    ensure!(len <= MOST, "{}: {len} bytes: expected at most {MOST}", name());
    let bytes = foreign::read(path).with_context(name)?;
    parse(&bytes, identity, (plan, hosts)).with_context(name)
}

fn parse(bytes: &[u8], identity: &Identity, (plan, hosts): (&Plan<'_>, &[Host])) -> Result<BTreeMap<usize, Measured>> {
    let classes = plan.classes;
    identity.check(bytes)?;
    let file = tensors::read(bytes)?;
    let places = integers(&file, "places")?;
    let table = Table::of(&Rows { n: places.len(), file: &file })?;
    if !places.is_empty() {
        let (logits, read) = (table.logits.width, table.read.width);
        ensure!(logits == classes, "{logits} logits: expected {classes}");
        ensure!(read == hosts.len(), "{read} hosts: expected {}", hosts.len());
    }
    let mut done = BTreeMap::new();
    for (row, place) in places.iter().enumerate() {
        let is_it = |known: &usize| i64::try_from(*known).is_ok_and(|known| known == *place);
        // An image that is not wanted this time.
        let Some(index) = plan.data.places.iter().position(is_it) else { continue };
        let (image, label) = (plan.data.image(index), i64::try_from(plan.labels[index])?);
        let is_same = table.images.row(row) == image && table.labels.row(row) == [label];
        ensure!(is_same, "image {place} of {} was another one, or had another label", plan.data.name);
        done.insert(index, table.measured(row, image.len())?);
    }
    Ok(done)
}

/// What is read of a file.
struct Table {
    images: Column<f32>,
    labels: Column<i64>,
    logits: Column<f32>,
    read: Column<i64>,
    ticks: Column<i64>,
    stack: Column<i64>,
    /// Adversarial images and their classes, of a board that can attack.
    own: Option<(Column<f32>, Column<i64>)>,
}

impl Table {
    fn of(rows: &Rows<'_, '_>) -> Result<Self> {
        let own =
            || -> Result<_> { Ok((rows.floats("device_adversarial")?, rows.integers("device_adversarial_class")?)) };
        Ok(Self {
            images: rows.floats("images")?,
            labels: rows.integers("labels")?,
            logits: rows.floats("device_logits")?,
            read: rows.integers("device_reads_hosts")?,
            ticks: rows.integers("device_ticks")?,
            stack: rows.integers("device_stack")?,
            own: rows.file.tensor("device_adversarial").is_ok().then(own).transpose()?,
        })
    }

    /// What a row says of an image of so many elements.
    fn measured(&self, row: usize, len: usize) -> Result<Measured> {
        let own = match &self.own {
            Some((images, classes)) => {
                let adversarial = images.row(row).to_vec();
                ensure!(adversarial.len() == len, "images of another shape");
                let found = *classes.row(row).first().context("no class")?;
                Some(Own { adversarial, class: class(found)?, cost: self.cost(row, 1)? })
            }
            None => None,
        };
        let read = self.read.row(row).iter().map(|found| class(*found)).collect::<Result<_>>()?;
        Ok(Measured { logits: self.logits.row(row).to_vec(), forward: self.cost(row, 0)?, own, read })
    }

    /// Of the forward pass, job 0, or of the attack.
    fn cost(&self, row: usize, job: usize) -> Result<Cost> {
        let (ticks, stack) = (self.ticks.row(row).get(job), self.stack.row(row).get(job));
        let (ticks, stack) = ticks.zip(stack).context("costs of two jobs were expected")?;
        Ok(Cost { ticks: (*ticks).try_into()?, stack: (*stack).try_into()? })
    }
}

fn class(found: i64) -> Result<usize> {
    usize::try_from(found).context("a class below 0")
}

/// Tensors with a row for each image.
struct Rows<'f, 'b> {
    n: usize,
    file: &'f SafeTensors<'b>,
}

struct Column<T> {
    width: usize,
    values: Vec<T>,
}

impl<T> Column<T> {
    fn row(&self, row: usize) -> &[T] {
        self.values.get(row * self.width..).and_then(|rest| rest.get(..self.width)).unwrap_or(&[])
    }
}

impl Rows<'_, '_> {
    fn column<T>(&self, name: &str, values: Vec<T>) -> Result<Column<T>> {
        let width = values.len() / self.n.max(1);
        ensure!(width * self.n == values.len(), "tensor {name} has {} elements for {} images", values.len(), self.n);
        Ok(Column { width, values })
    }

    fn integers(&self, name: &str) -> Result<Column<i64>> {
        self.column(name, integers(self.file, name)?)
    }

    fn floats(&self, name: &str) -> Result<Column<f32>> {
        let tensor = self.file.tensor(name).with_context(|| format!("tensor {name}"))?;
        ensure!(tensor.dtype() == Dtype::F32, "tensor {name} is {:?}: expected F32", tensor.dtype());
        let chunks = tensor.data().chunks_exact(4);
        self.column(name, chunks.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }
}

fn integers(file: &SafeTensors<'_>, name: &str) -> Result<Vec<i64>> {
    let tensor = file.tensor(name).with_context(|| format!("tensor {name}"))?;
    let data = tensor.data();
    Ok(match tensor.dtype() {
        Dtype::I32 => data.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]).into()).collect(),
        Dtype::I64 => {
            let words = data.chunks_exact(8).filter_map(|b| b.first_chunk::<8>());
            words.map(|b| i64::from_le_bytes(*b)).collect()
        }
        other => bail!("tensor {name} is {other:?}: expected I32 or I64"),
    })
}
