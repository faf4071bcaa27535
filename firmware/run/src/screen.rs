//! Draws what a program sent to its display; the commands are described in `src/board/emulated_screen.rs`.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

const MAGIC: &[u8] = b"midge screen";

/// Red, green and blue.
type Colour = [u8; 3];

/// What the screen shows, row by row.
#[derive(Debug, Clone)]
struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<Colour>,
}

impl Picture {
    fn black(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![[0; 3]; width * height] }
    }

    fn save(&self, path: &Path) -> Result<()> {
        let file = BufWriter::new(File::create(path)?);
        let mut encoder = png::Encoder::new(file, u32::try_from(self.width)?, u32::try_from(self.height)?);
        encoder.set_color(png::ColorType::Rgb);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(self.pixels.as_flattened())?;
        Ok(writer.finish()?)
    }
}

/// Bytes not read yet.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn u16(&mut self) -> Result<u16> {
        let (first, rest) = self.0.split_first_chunk().context("ends in the middle of a command")?;
        self.0 = rest;
        Ok(u16::from_le_bytes(*first))
    }

    fn colour(&mut self) -> Result<Colour> {
        let colour = self.u16()?;
        let [r, g, b] = [colour >> 11, colour >> 5 & 63, colour & 31];
        // All ones become 255.
        Ok([r * 255 / 31, g * 255 / 63, b * 255 / 31].map(|channel| channel as u8))
    }
}

/// Every complete picture.
fn replay(bytes: &[u8]) -> Result<Vec<Picture>> {
    let mut reader = Reader(bytes.strip_prefix(MAGIC).context("not what a display was sent")?);
    let (width, height) = (reader.u16()?, reader.u16()?);
    ensure!(width > 0 && height > 0, "a screen of {width} x {height} pixels");
    let mut screen = Picture::black(width.into(), height.into());
    let mut pictures = Vec::new();
    while let Some(code) = reader.u8() {
        match code {
            1 | 2 => window(&mut reader, &mut screen, code == 2)?,
            3 => pictures.push(screen.clone()),
            _ => bail!("command {code}: expected 1, 2 or 3"),
        }
    }
    Ok(pictures)
}

fn window(reader: &mut Reader<'_>, screen: &mut Picture, solid: bool) -> Result<()> {
    let [x, y, width, height] = [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?].map(usize::from);
    let (right, bottom) = (x + width, y + height);
    let inside = right <= screen.width && bottom <= screen.height;
    ensure!(inside, "a window up to {right},{bottom} on a screen of {} x {}", screen.width, screen.height);
    let one = if solid { Some(reader.colour()?) } else { None };
    for row in y..bottom {
        for column in x..right {
            screen.pixels[row * screen.width + column] = one.map_or_else(|| reader.colour(), Ok)?;
        }
    }
    Ok(())
}

/// Writes the last picture to `last`, and all of them to the folder `all`. Returns how many there were; without a file
/// there were none.
pub(crate) fn save(sent: &Path, last: &Path, all: Option<&Path>) -> Result<usize> {
    let Ok(bytes) = std::fs::read(sent) else { return Ok(0) };
    let pictures = replay(&bytes).context("the display's commands")?;
    let write = |picture: &Picture, path: PathBuf| {
        picture.save(&path).with_context(|| format!("{}: cannot be written", path.display()))
    };
    if let Some(picture) = pictures.last() {
        write(picture, last.to_path_buf())?;
    }
    if let Some(folder) = all {
        std::fs::create_dir_all(folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
        for (i, picture) in pictures.iter().enumerate() {
            write(picture, folder.join(format!("{i:03}.png")))?;
        }
    }
    Ok(pictures.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(size: [u16; 2], commands: &[u8]) -> Vec<u8> {
        [MAGIC, size.map(u16::to_le_bytes).as_flattened(), commands].concat()
    }

    const FILL: [u8; 12] = [2, 1, 0, 0, 0, 1, 0, 2, 0, 0xff, 0xff, 3];

    #[test]
    fn commands_draw() {
        let pictures = replay(&file([2, 2], &FILL)).unwrap();
        assert_eq!(pictures.len(), 1);
        assert_eq!(pictures[0].pixels[0], [0, 0, 0]);
        assert_eq!(pictures[0].pixels[3], [255, 255, 255]);
        let pixels = [1, 0, 0, 0, 0, 2, 0, 1, 0, 0x00, 0xf8, 0x1f, 0x00, 3];
        let pictures = replay(&file([2, 2], &pixels)).unwrap();
        assert_eq!(pictures[0].pixels[0], [255, 0, 0]);
        assert_eq!(pictures[0].pixels[1], [0, 0, 255]);
    }

    #[test]
    fn damage_is_an_error() {
        let whole = file([2, 2], &FILL);
        for end in 0..whole.len() - 1 {
            // Cut after a whole command, there is simply no picture.
            if end != whole.len() - FILL.len() {
                assert!(replay(&whole[..end]).is_err(), "{end}");
            }
        }
        assert!(replay(&file([1, 2], &FILL)).unwrap_err().to_string().contains("window"));
        assert!(replay(&file([0, 2], &[])).is_err());
        assert!(replay(&file([2, 2], &[9])).unwrap_err().to_string().contains("command 9"));
    }
}
