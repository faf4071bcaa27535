//! What is known before any image is: the shapes that a framework computes for its reshapes.

use anyhow::{Context, Result, bail, ensure};

use super::layout::place;
use super::model::{Constant, Node, Numbers};

/// Most numbers of a constant that is computed.
const MOST: usize = 1 << 16;

/// What a node makes of constants; `None` if it is none of those that shapes are computed with.
pub(super) fn evaluate(node: &Node<'_>, inputs: &[Option<&Constant>]) -> Result<Option<Constant>> {
    let input = |at: usize| inputs.get(at).copied().flatten().context("an input is missing");
    let computed = match node.operator {
        "Identity" | "Cast" | "Dropout" => input(0)?.clone(),
        "Gather" => gather(input(0)?, input(1)?, node.integer("axis").unwrap_or(0))?,
        "Concat" => concat(inputs)?,
        "Unsqueeze" | "Squeeze" | "Reshape" => {
            let mut constant = input(0)?.clone();
            if node.operator == "Reshape" {
                constant.shape = reshaped(&constant.shape, &input(1)?.integers())?;
            } else {
                let axes = match inputs.get(1).copied().flatten() {
                    Some(axes) => axes.integers(),
                    None => node.integers("axes")?,
                };
                constant.shape = stretched(&constant.shape, &axes, node.operator == "Unsqueeze")?;
            }
            constant
        }
        "Slice" => slice(node, inputs)?,
        "Transpose" => transpose(input(0)?, &node.integers("perm")?)?,
        "Shape" => integers(input(0)?.shape.iter().map(|n| *n as i64).collect()),
        "Mul" | "Add" | "Sub" | "Div" => arithmetic(node.operator, input(0)?, input(1)?)?,
        _ => return Ok(None),
    };
    Ok(Some(computed))
}

/// A vector of integers.
pub(super) fn integers(numbers: Vec<i64>) -> Constant {
    Constant { shape: vec![numbers.len()], numbers: Numbers::Integers(numbers) }
}

/// The target of a reshape: 0 keeps a dimension, -1 is what is left.
pub(super) fn reshaped(from: &[usize], target: &[i64]) -> Result<Vec<usize>> {
    ensure!(target.len() <= 8, "expected at most 8 dimensions, found {target:?}");
    let all: usize = from.iter().product();
    let mut sizes = Vec::new();
    for (at, size) in target.iter().enumerate() {
        sizes.push(match size {
            0 => Some(*from.get(at).context("a dimension that is kept is not there")?),
            -1 => None,
            size => Some(usize::try_from(*size).context("a dimension is negative")?),
        });
    }
    let known = sizes.iter().flatten().try_fold(1usize, |product, n| product.checked_mul(*n)).context("too large")?;
    let open = sizes.iter().filter(|size| size.is_none()).count();
    ensure!(open <= 1 && known > 0 && all.is_multiple_of(known), "{from:?} cannot be reshaped to {target:?}");
    let sizes: Vec<usize> = sizes.into_iter().map(|size| size.unwrap_or(all / known)).collect();
    ensure!(sizes.iter().product::<usize>() == all, "{from:?} cannot be reshaped to {target:?}");
    Ok(sizes)
}

/// With dimensions of 1 added, or taken away.
fn stretched(shape: &[usize], axes: &[i64], adds: bool) -> Result<Vec<usize>> {
    let count = if adds { shape.len() + axes.len() } else { shape.len() };
    ensure!(count <= 8, "expected at most 8 dimensions");
    let mut places = axes.iter().map(|axis| place(*axis, count)).collect::<Result<Vec<_>>>()?;
    places.sort_unstable();
    let mut shape = shape.to_vec();
    if adds {
        places.iter().for_each(|place| shape.insert((*place).min(shape.len()), 1));
    } else if axes.is_empty() {
        shape.retain(|size| *size != 1);
    } else {
        for place in places.iter().rev() {
            ensure!(shape.get(*place) == Some(&1), "a dimension that is taken away is not 1");
            shape.remove(*place);
        }
    }
    Ok(shape)
}

fn gather(data: &Constant, indices: &Constant, axis: i64) -> Result<Constant> {
    ensure!(axis == 0 && data.shape.len() == 1 && indices.len() <= MOST, "expected a choice among a vector's numbers");
    let numbers = data.integers();
    let picked = indices.integers().into_iter().map(|index| numbers.get(place(index, numbers.len()).ok()?).copied());
    let picked: Option<Vec<i64>> = picked.collect();
    Ok(Constant {
        shape: indices.shape.clone(),
        numbers: Numbers::Integers(picked.context("an index is out of range")?),
    })
}

fn concat(inputs: &[Option<&Constant>]) -> Result<Constant> {
    let mut numbers = Vec::new();
    for input in inputs {
        numbers.extend(input.context("an input is missing")?.integers());
        ensure!(numbers.len() <= MOST, "expected a shape, found more than {MOST} numbers");
    }
    Ok(integers(numbers))
}

fn slice(node: &Node<'_>, inputs: &[Option<&Constant>]) -> Result<Constant> {
    let data = inputs.first().copied().flatten().context("an input is missing")?;
    let of = |at: usize, name: &str| match inputs.get(at).copied().flatten() {
        Some(constant) => Ok(constant.integers()),
        None => node.integers(name).map_err(anyhow::Error::from),
    };
    let (starts, ends, steps) = (of(1, "starts")?, of(2, "ends")?, of(4, "steps")?);
    let ([start], [end], [] | [1]) = (&starts[..], &ends[..], &steps[..]) else {
        bail!("expected one range without steps")
    };
    ensure!(data.shape.len() == 1, "expected a part of a vector");
    let numbers = data.integers();
    let at = |n: i64| {
        (if n < 0 { n.saturating_add(numbers.len() as i64) } else { n }).clamp(0, numbers.len() as i64) as usize
    };
    Ok(integers(numbers.get(at(*start)..at(*end)).unwrap_or(&[]).to_vec()))
}

/// A matrix with its dimensions in another order.
fn transpose(data: &Constant, order: &[i64]) -> Result<Constant> {
    let [rows, columns] = data.shape[..] else { bail!("expected a matrix, found dimensions {:?}", data.shape) };
    ensure!(order.is_empty() || order == [1, 0], "expected an order of two dimensions, found {order:?}");
    let numbers = data.floats();
    let turned =
        (0..columns).flat_map(|column| numbers.iter().skip(column).step_by(columns.max(1)).copied().take(rows));
    Ok(Constant { shape: vec![columns, rows], numbers: Numbers::Floats(turned.collect()) })
}

/// With numbers of one shape, or with one number.
fn arithmetic(operator: &str, a: &Constant, b: &Constant) -> Result<Constant> {
    ensure!(a.shape == b.shape || a.len() == 1 || b.len() == 1, "expected constants of one shape");
    let shape = if a.len() >= b.len() { a.shape.clone() } else { b.shape.clone() };
    let count = a.len().max(b.len());
    if let (Numbers::Integers(a), Numbers::Integers(b)) = (&a.numbers, &b.numbers) {
        let numbers = (0..count).map(|i| {
            let (a, b) = (a[i.min(a.len() - 1)], b[i.min(b.len() - 1)]);
            match operator {
                "Mul" => a.checked_mul(b),
                "Add" => a.checked_add(b),
                "Sub" => a.checked_sub(b),
                _ => a.checked_div(b),
            }
        });
        let numbers: Option<Vec<i64>> = numbers.collect();
        return Ok(Constant { shape, numbers: Numbers::Integers(numbers.context("an integer is too large")?) });
    }
    let (a, b) = (a.floats(), b.floats());
    ensure!(!a.is_empty() && !b.is_empty(), "a constant without numbers");
    let numbers = (0..count).map(|i| {
        let (a, b) = (a[i.min(a.len() - 1)], b[i.min(b.len() - 1)]);
        match operator {
            "Mul" => a * b,
            "Add" => a + b,
            "Sub" => a - b,
            _ => a / b,
        }
    });
    Ok(Constant { shape, numbers: Numbers::Floats(numbers.collect()) })
}
