//! JSON on standard output.

use anyhow::Result;
use serde::Serialize;

/// What a program that reads the JSON has to know, and in which version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Schema {
    name: &'static str,
    /// Goes up when an entry goes or changes its meaning; new entries leave it.
    version: u32,
}

const fn schema(name: &'static str, version: u32) -> Schema {
    Schema { name, version }
}

pub(crate) const DEMO: Schema = schema("midge.demo", 1);
pub(crate) const TRAIN: Schema = schema("midge.train", 1);
pub(crate) const EVALUATE: Schema = schema("midge.evaluate", 1);
pub(crate) const ROBUST: Schema = schema("midge.evaluate.robust", 2);
pub(crate) const CLASSIFY: Schema = schema("midge.classify", 1);
pub(crate) const ATTACK: Schema = schema("midge.attack", 1);
pub(crate) const MINIMAL_EPS: Schema = schema("midge.minimal-eps", 1);
pub(crate) const CAMERA: Schema = schema("midge.camera", 1);
pub(crate) const DEVICE: Schema = schema("midge.device", 1);
pub(crate) const DEVICE_CLASSIFY: Schema = schema("midge.device.classify", 1);
pub(crate) const DEVICE_ATTACK: Schema = schema("midge.device.attack", 1);
pub(crate) const DEVICE_EVALUATE: Schema = schema("midge.device.evaluate", 1);
pub(crate) const REPORT: Schema = schema("midge.report", 1);
pub(crate) const VERIFY: Schema = schema("midge.verify", 1);
pub(crate) const SUMMARY: Schema = schema("midge.summary", 1);

#[derive(Serialize)]
struct Document<'a, T> {
    schema: Schema,
    #[serde(flatten)]
    value: &'a T,
}

/// Prints a value with its schema on standard output.
pub(crate) fn print_json(schema: Schema, value: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(&Document { schema, value })?);
    Ok(())
}
