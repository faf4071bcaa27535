//! tract: forward only.

use std::io::{stdin, stdout};
use std::path::Path;
use std::time::Instant;

use serde_json::json;
use tract_onnx::prelude::*;

use crate::protocol::{self, Answer, PIXELS, Result};

/// Answers the driver.
pub(crate) fn serve(folder: &Path) -> Result<()> {
    let sets = protocol::read_inputs(folder)?;
    let model = tract_onnx::onnx()
        .model_for_path(folder.join("model.onnx"))?
        .with_input_fact(0, f32::fact([1, 1, 28, 28]).into())?
        .into_optimized()?
        .into_runnable()?;
    let hello = json!({ "name": "tract", "version": "0.23.9", "work": { "forward": ["one image"] } });
    protocol::serve(&hello, stdin().lock(), stdout(), |request| {
        let set = crate::set(&sets, request)?;
        let mut values = Vec::new();
        let start = Instant::now();
        // Optimised for one image at a time, whatever the batch.
        for image in crate::batches(set, request).flat_map(|(images, _)| images.chunks(PIXELS)) {
            let input = Tensor::from_shape(&[1, 1, 28, 28], image)?;
            let output = model.run(tvec!(input.into()))?;
            values.extend_from_slice(output[0].to_plain_array_view::<f32>()?.as_slice().unwrap_or_default());
        }
        Ok(Answer { seconds: start.elapsed().as_secs_f64(), values, ..Answer::default() })
    })
}
