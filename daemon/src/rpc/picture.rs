//! A UI's picture, converted to what may be published: a PNG (XEP-0084 §2: the data node holds `image/png`; other
//! types would need a web server).
//!
//! Its maximum size depends on the server, which only the session knows. So there are several, each smaller than the
//! one before, down to one that every server accepts.

use std::io::Cursor;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::codecs::png::{CompressionType, FilterType as Filter, PngEncoder};
use image::imageops::FilterType;
use image::{DynamicImage, ImageFormat, ImageReader, ImageResult};
use prosed_protocol::{ApiError, ErrorKind};
use prosed_session::{bounds, picture_bytes};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::decode;

/// The side of a reduced picture, in pixels: what UIs show.
const SIDE: u32 = 512;
/// Bytes of the stanza with the largest published picture, whatever our own server accepts. Contacts receive it
/// through their servers: Prosody and ejabberd accept twice as much from other servers.
const STANZA_BYTES: usize = 256 * 1024;
/// The maximum side of an input picture, in pixels.
const SIDE_MAX: u32 = 8192;

/// Pictures decoded at the same time, for all callers together: each takes up to 256 MiB of memory meanwhile, and a batch
/// holds 32.
const AT_ONCE: usize = 2;

/// Converts the pictures of all UIs.
#[derive(Debug, Clone)]
pub(super) struct Decoder(Arc<Semaphore>);

impl Default for Decoder {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Decoder {
    /// See [`pngs`]. It takes a moment, which must not delay other calls.
    ///
    /// # Errors
    /// `invalidMedia`, with the reason.
    pub(super) async fn pngs(&self, base64: String) -> Result<Vec<Vec<u8>>, ApiError> {
        // The semaphore is never closed.
        let place = Arc::clone(&self.0).acquire_owned().await;
        let decoded = spawn_blocking(move || {
            // Held to the end, even if the caller has gone away.
            let _place = place;
            pngs(&base64)
        });
        decoded.await.map_err(|_| ApiError::new(ErrorKind::InvalidMedia))?
    }
}

/// The picture as PNGs, the largest first; the last fits into a stanza that any server accepts. A PNG that may be
/// published unchanged is kept. None: remove the picture.
///
/// # Errors
/// `invalidMedia`, with the reason.
fn pngs(base64: &str) -> Result<Vec<Vec<u8>>, ApiError> {
    let invalid = |text: &str| ApiError::new(ErrorKind::InvalidMedia).text(text);
    let data = STANDARD.decode(base64.trim()).map_err(|_| invalid("not base64"))?;
    if data.is_empty() {
        return Ok(Vec::new());
    }
    let reader = ImageReader::new(Cursor::new(&data))
        .with_guessed_format()
        .map_err(|_| invalid("neither GIF, JPEG, PNG nor WebP"))?;
    let format = reader.format();
    let (image, is_upright) =
        decode::upright(reader, Some(SIDE_MAX)).map_err(|error| invalid(&error.to_string()))?;
    let small = image.width() <= SIDE && image.height() <= SIDE;
    let (most, least) = (picture_bytes(STANZA_BYTES), picture_bytes(bounds::STANZA_BYTES_LEAST));
    let mut pngs = Vec::new();
    if format == Some(ImageFormat::Png) && is_upright && small && data.len() <= most {
        pngs.push(data);
    }
    let image = plain(if small { image } else { image.thumbnail(SIDE, SIDE) });
    let mut side = image.width().max(image.height());
    while pngs.last().is_none_or(|png| png.len() > least) && side > 0 {
        let png = match side == image.width().max(image.height()) {
            true => encode(&image),
            false => encode(&image.resize(side, side, FilterType::Triangle)),
        };
        let png = png.map_err(|error| invalid(&error.to_string()))?;
        if png.len() <= pngs.last().map_or(most, |larger| larger.len() - 1) {
            pngs.push(png);
        }
        // Two thirds of the area: the first that fits is not much smaller than possible, and all together take three
        // times as long as the first.
        side = side * 4 / 5;
    }
    Ok(pngs)
}

/// The same with 8 bits per channel, and only the channels that it needs.
fn plain(image: DynamicImage) -> DynamicImage {
    let rgba = image.to_rgba8();
    let is_opaque = rgba.pixels().all(|pixel| pixel.0[3] == u8::MAX);
    let is_grey = rgba.pixels().all(|pixel| pixel.0[0] == pixel.0[1] && pixel.0[1] == pixel.0[2]);
    let rgba = DynamicImage::from(rgba);
    match (is_grey, is_opaque) {
        (true, true) => rgba.into_luma8().into(),
        (true, false) => rgba.into_luma_alpha8().into(),
        (false, true) => rgba.into_rgb8().into(),
        (false, false) => rgba,
    }
}

fn encode(image: &DynamicImage) -> ImageResult<Vec<u8>> {
    let mut png = Vec::new();
    image.write_with_encoder(PngEncoder::new_with_quality(
        &mut png,
        CompressionType::Best,
        Filter::Adaptive,
    ))?;
    Ok(png)
}

#[cfg(test)]
mod tests {
    use image::codecs::png::PngDecoder;
    use image::{ColorType, ImageDecoder as _, RgbImage, RgbaImage};
    use tokio::time::{Duration, timeout};

    use super::*;
    use crate::decode::sideways;

    fn encoded(image: &DynamicImage, format: ImageFormat) -> String {
        let mut data = Vec::new();
        image.write_to(&mut Cursor::new(&mut data), format).unwrap();
        STANDARD.encode(data)
    }

    fn black(width: u32, height: u32, format: ImageFormat) -> String {
        encoded(&RgbImage::new(width, height).into(), format)
    }

    /// Colour gradients with camera noise: what PNG compresses worst.
    fn photo(width: u32, height: u32) -> DynamicImage {
        let mut noise = 1u32;
        let image = RgbaImage::from_fn(width, height, |x, y| {
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            let shade = |at: u32, of: u32, grain: u32| u8::try_from(40 + at * 150 / of + grain % 32).unwrap();
            let (red, green) = (shade(x, width, noise), shade(y, height, noise >> 8));
            image::Rgba([red, green, shade(x + y, width + height, noise >> 16), 255])
        });
        image.into()
    }

    /// A transparent hole in its middle.
    fn with_alpha(image: DynamicImage) -> DynamicImage {
        let mut image = image.into_rgba8();
        let (width, height) = image.dimensions();
        for (x, y) in (0..width / 2).flat_map(|x| (0..height / 2).map(move |y| (x, y))) {
            image.get_pixel_mut(x + width / 4, y + height / 4).0[3] = 0;
        }
        image.into()
    }

    fn decoder(png: &[u8]) -> PngDecoder<Cursor<&[u8]>> {
        PngDecoder::new(Cursor::new(png)).unwrap()
    }

    fn size(png: &[u8]) -> (u32, u32) {
        decoder(png).dimensions()
    }

    /// The picture for a server that accepts stanzas of this size.
    fn fitting(pngs: &[Vec<u8>], stanza: usize) -> &[u8] {
        pngs.iter().find(|png| png.len() <= picture_bytes(stanza)).expect("one for each server")
    }

    #[test]
    fn a_small_png_stays_as_it_is() {
        let data = black(64, 48, ImageFormat::Png);
        assert_eq!(pngs(&data).unwrap(), [STANDARD.decode(&data).unwrap()]);
    }

    #[test]
    fn others_become_png_and_large_ones_small() {
        for format in [ImageFormat::Gif, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Png] {
            assert_eq!(size(&pngs(&black(1024, 512, format)).unwrap()[0]), (512, 256), "{format:?}");
        }
        assert_eq!(size(&pngs(&black(10, 20, ImageFormat::Jpeg)).unwrap()[0]), (10, 20));
    }

    #[test]
    fn a_photo_taken_sideways_is_turned() {
        let image = RgbImage::new(30, 20);
        for data in [sideways::jpeg(&image), sideways::png(&image)] {
            assert_eq!(size(&pngs(&STANDARD.encode(data)).unwrap()[0]), (20, 30));
        }
    }

    #[test]
    fn there_is_one_for_each_server_as_large_as_it_may_be() {
        let of_photo = |format| pngs(&encoded(&photo(384, 384).into_rgb8().into(), format)).unwrap();
        for pngs in [ImageFormat::Jpeg, ImageFormat::Png].map(of_photo) {
            let larger = |pair: &[Vec<u8>]| pair[0].len() > pair[1].len() && size(&pair[0]) >= size(&pair[1]);
            assert!(pngs.windows(2).all(larger));
            assert!(pngs[0].len() <= picture_bytes(STANZA_BYTES));
            for (stanza, side) in [(256 * 1024, 240), (64 * 1024, 128), (10_000, 40)] {
                let png = fitting(&pngs, stanza);
                assert!(size(png).0 >= side, "{:?} for {stanza}", size(png));
                assert!(png.len() > picture_bytes(stanza) / 2, "{} for {stanza}", png.len());
            }
        }
    }

    #[test]
    fn no_channel_is_for_nothing() {
        let photo = photo(300, 200);
        let grey = DynamicImage::from(photo.to_luma8());
        for (image, colour) in [
            (photo.clone(), ColorType::Rgb8),
            (with_alpha(photo), ColorType::Rgba8),
            (grey.to_rgba8().into(), ColorType::L8),
            (with_alpha(grey), ColorType::La8),
        ] {
            let pngs = pngs(&encoded(&image, ImageFormat::Png)).unwrap();
            let made = pngs.iter().filter(|png| size(png) != (300, 200));
            assert!(made.clone().count() > 1);
            for png in made {
                assert_eq!(decoder(png).color_type(), colour);
                let (width, height) = size(png);
                assert!((width * 2).abs_diff(height * 3) <= 3, "{width} × {height}");
                let middle =
                    *image::load_from_memory(png).unwrap().into_rgba8().get_pixel(width / 2, height / 2);
                assert_eq!(middle.0[3] == 0, colour.has_alpha(), "what is transparent stays so");
            }
        }
    }

    /// Large, and long: sides that shrink to nothing.
    #[test]
    fn each_shape_comes_to_an_end() {
        for (width, height) in [(1500, 1000), (4000, 3), (3, 4000), (1, 1)] {
            let pngs = pngs(&encoded(&photo(width, height), ImageFormat::Png)).unwrap();
            let (shown_width, shown_height) = size(&pngs[0]);
            assert!(shown_width <= SIDE && shown_height <= SIDE);
            fitting(&pngs, bounds::STANZA_BYTES_LEAST);
        }
    }

    #[tokio::test]
    async fn few_are_decoded_at_the_same_time() {
        let decoder = Decoder::default();
        let busy = decoder.0.acquire_many(AT_ONCE as u32).await.unwrap();
        let mut one = Box::pin(decoder.pngs(black(1, 1, ImageFormat::Png)));
        assert!(timeout(Duration::from_millis(300), &mut one).await.is_err(), "it waits");
        drop(busy);
        assert_eq!(one.await.unwrap().len(), 1);
        assert_eq!(decoder.0.available_permits(), AT_ONCE);
    }

    #[test]
    fn nothing_is_no_picture() {
        assert!(pngs("").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        let svg = STANDARD.encode("<svg xmlns='http://www.w3.org/2000/svg'/>");
        for data in ["%%%", "AAAA", &svg, &black(SIDE_MAX + 1, 1, ImageFormat::Png)] {
            assert!(pngs(data).is_err(), "{data}");
        }
    }
}
