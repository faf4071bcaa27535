"""Makes the JPEG files beside this script with Pillow: small pictures whose corners tell how they were turned."""

from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent


def quarters():
    """16 x 8 pixels: red and blue above, green and white below."""
    picture = Image.new("RGB", (16, 8))
    colours = [(255, 0, 0), (0, 0, 255), (0, 255, 0), (255, 255, 255)]
    for i, colour in enumerate(colours):
        picture.paste(colour, (i % 2 * 8, i // 2 * 4, i % 2 * 8 + 8, i // 2 * 4 + 4))
    return picture


exif = Image.Exif()
exif[0x0112] = 6  # the camera was held on its side: turn by a quarter to the right
quarters().save(HERE / "turned.jpg", quality=95, subsampling=0, exif=exif)
quarters().save(HERE / "progressive.jpg", quality=95, subsampling=2, progressive=True, exif=exif)
grey = Image.new("L", (16, 8))
grey.paste(255, (8, 0, 16, 8))
grey.save(HERE / "grey.jpg", quality=95)
