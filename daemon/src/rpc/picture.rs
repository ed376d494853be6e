//! The picture that a UI wants to have published, made into what may be (XEP-0084 §4.1: a PNG).

use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, ImageReader, Limits};
use prosed_protocol::{ApiError, ErrorKind};

/// A side of a picture that is made smaller, in pixels: what UIs show.
const SIDE: u32 = 512;
/// What may be published, in bytes: as much as we take from others.
const BYTES: usize = 1024 * 1024;
/// The side of a picture that is taken in, in pixels, and what decoding it may take, in bytes.
const SIDE_MAX: u32 = 8192;
const DECODING_BYTES: u64 = 256 * 1024 * 1024;

/// The picture as PNG; a PNG that may be published as it is, stays as it is. `None`: there is to
/// be none.
///
/// # Errors
/// `invalidMedia`, with the reason.
pub(super) fn png(base64: &str) -> Result<Option<Vec<u8>>, ApiError> {
    let invalid = |text: &str| ApiError::new(ErrorKind::InvalidMedia).text(text);
    let data = STANDARD.decode(base64.trim()).map_err(|_| invalid("not base64"))?;
    if data.is_empty() {
        return Ok(None);
    }
    let mut reader = ImageReader::new(Cursor::new(&data))
        .with_guessed_format()
        .map_err(|_| invalid("neither GIF, JPEG, PNG nor WebP"))?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(DECODING_BYTES);
    reader.limits(limits);
    let format = reader.format();
    let image = reader.decode().map_err(|error| invalid(&error.to_string()))?;
    let small = image.width() <= SIDE && image.height() <= SIDE;
    if format == Some(ImageFormat::Png) && small && data.len() <= BYTES {
        return Ok(Some(data));
    }
    let image = if small { image } else { image.thumbnail(SIDE, SIDE) };
    let mut png = Vec::new();
    image
        .to_rgba8()
        .write_to(&mut Cursor::new(&mut png), ImageFormat::Png)
        .map_err(|error| invalid(&error.to_string()))?;
    Ok(Some(png))
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, RgbImage};

    use super::*;

    fn encoded(width: u32, height: u32, format: ImageFormat) -> String {
        let mut data = Vec::new();
        let image = DynamicImage::ImageRgb8(RgbImage::new(width, height));
        image.write_to(&mut Cursor::new(&mut data), format).unwrap();
        STANDARD.encode(data)
    }

    fn size(png: &[u8]) -> (u32, u32) {
        ImageReader::with_format(Cursor::new(png), ImageFormat::Png).into_dimensions().unwrap()
    }

    #[test]
    fn a_fitting_png_stays_as_it_is() {
        let data = encoded(64, 48, ImageFormat::Png);
        assert_eq!(png(&data).unwrap(), Some(STANDARD.decode(&data).unwrap()));
    }

    #[test]
    fn others_become_png_and_large_ones_small() {
        for format in [ImageFormat::Gif, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Png] {
            assert_eq!(size(&png(&encoded(1024, 512, format)).unwrap().unwrap()), (512, 256), "{format:?}");
        }
        assert_eq!(size(&png(&encoded(10, 20, ImageFormat::Jpeg)).unwrap().unwrap()), (10, 20));
    }

    #[test]
    fn nothing_is_no_picture() {
        assert_eq!(png("").unwrap(), None);
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        let svg = STANDARD.encode("<svg xmlns='http://www.w3.org/2000/svg'/>");
        for data in ["%%%", "AAAA", &svg, &encoded(SIDE_MAX + 1, 1, ImageFormat::Png)] {
            assert!(png(data).is_err(), "{data}");
        }
    }
}
