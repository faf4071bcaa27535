//! The lecture's network, plain and as it is for adversarial training.

use super::Network;
use super::layer::Layer;
use super::shape::{Padding, Shape, Size};

/// The lecture's MNIST CNN: 824,362 parameters.
///
/// ```
/// use midge_core::{MNIST_CNN, Shape};
///
/// assert_eq!((MNIST_CNN.input(), MNIST_CNN.classes()), (Shape::hwc(28, 28, 1), 10));
/// // The bytes of the buffer that an attack with momentum needs, both images not counted.
/// assert_eq!(4 * MNIST_CNN.attack_len(), 16_564);
/// ```
pub const MNIST_CNN: Network = mnist_cnn(Layer::Relu);

/// The lecture's MNIST CNN with a threshold of 0.1 in its first ReLU: the same parameters, the same buffers.
///
/// Adversarial training makes it far more robust than [`MNIST_CNN`]. A pixel of the ball is grey where the clean one is black
/// or white. Telling them apart takes a threshold: without one (and without biases) half as bright an image gives half the
/// output. A weight of `w` puts the threshold of a pixel at `0.1 / w`.
pub const MNIST_CNN_SHIFTED: Network = mnist_cnn(Layer::ShiftedRelu { hundredths: 10 });

const fn mnist_cnn(first_relu: Layer) -> Network {
    Network::new(
        Shape::hwc(28, 28, 1),
        &[
            Layer::Conv2d {
                filters: 32,
                kernel: Size::square(3),
                stride: Size::ONE,
                padding: Padding::Same,
                bias: false,
            },
            first_relu,
            Layer::MaxPool2d { pool: 2, padding: Padding::Same },
            Layer::Conv2d {
                filters: 64,
                kernel: Size::square(3),
                stride: Size::ONE,
                padding: Padding::Same,
                bias: false,
            },
            Layer::Relu,
            Layer::MaxPool2d { pool: 2, padding: Padding::Same },
            Layer::Flatten,
            Layer::Dense { units: 256, bias: true },
            Layer::Relu,
            Layer::Dense { units: 10, bias: true },
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lecture_network_has_the_lecture_figures() {
        assert_eq!(MNIST_CNN.parameters(), 824_362);
        assert_eq!(MNIST_CNN.multiply_adds(), 4_643_840);
        assert_eq!(MNIST_CNN.classes(), 10);
        let parameters = [0, 3, 7, 9].map(|i| {
            let (weight, bias) = MNIST_CNN.layer_parameters(i);
            weight + bias
        });
        assert_eq!(parameters, [288, 18_432, 803_072, 2_570]);
        assert_eq!(MNIST_CNN.output_shape(5), Some(Shape::hwc(7, 7, 64)));
    }

    #[test]
    fn a_threshold_costs_no_parameter_and_no_memory() {
        assert_ne!(MNIST_CNN_SHIFTED, MNIST_CNN);
        assert_eq!(MNIST_CNN_SHIFTED.parameters(), MNIST_CNN.parameters());
        assert_eq!(MNIST_CNN_SHIFTED.inference_len(), MNIST_CNN.inference_len());
        assert_eq!(MNIST_CNN_SHIFTED.attack_len(), MNIST_CNN.attack_len());
    }

    #[test]
    fn its_buffers_stay_inside_the_budget() {
        assert!(4 * MNIST_CNN.inference_len() <= 16 * 1024, "{}", 4 * MNIST_CNN.inference_len());
        // clean image + adversarial image + momentum, gradient and scratch: MI-FGSM in 24 KiB with room for a stack.
        let attack = 4 * (2 * MNIST_CNN.input().len() + MNIST_CNN.attack_len());
        assert!(attack <= 23 * 1024, "{attack}");
    }
}
