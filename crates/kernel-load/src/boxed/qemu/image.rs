// SPDX-License-Identifier: MIT OR Apache-2.0
//! A distribution's kernel image: its file, its modules, and the kernel in it unpacked.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::bzimage::Header;
use super::modules::{BUILTIN, Module, Modules};
use super::unpack::{Format, LIMIT};

/// Drivers of the channel: the bus on which it is found, and the port.
const CHANNEL: [&str; 2] = ["virtio_pci", "virtio_console"];

/// Directories that may hold modules, from the root of a package or of a system.
const MODULES: [&str; 2] = ["lib/modules", "usr/lib/modules"];

/// What an image's file says that it is, where there is nothing to boot.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It cannot be read.
    #[error("`{0}` cannot be read: {1}; name an image that `skep kernels` lists, or the path of one")]
    Unreadable(PathBuf, #[source] io::Error),
    /// What is made of it cannot be written.
    #[error("`{0}` cannot be written: {1}; it needs room for the unpacked kernel, some 60 MB")]
    Unwritable(PathBuf, #[source] io::Error),
    /// It is another kind of file.
    #[error("`{0}` is no x86-64 kernel image but {1}; name a file like /boot/vmlinuz-RELEASE")]
    NoImage(PathBuf, String),
    /// Its end is missing.
    #[error("`{path}` is cut off: it has {length} of {wanted} bytes; fetch or copy it again")]
    Cut {
        /// The file.
        path: PathBuf,
        /// Bytes that it has.
        length: u64,
        /// Bytes that its header tells of.
        wanted: u64,
    },
    /// It contradicts itself.
    #[error("`{0}` is damaged: {1}; fetch or copy it again")]
    Damaged(PathBuf, String),
    /// A directory without an image.
    #[error(
        "`{0}` holds no kernel image; an unpacked package has boot/vmlinuz-RELEASE or lib/modules/RELEASE/vmlinuz"
    )]
    Empty(PathBuf),
    /// A directory with several.
    #[error("`{0}` holds several kernel images, {1}; name one of them by its path")]
    Several(PathBuf, String),
    /// The guest could not talk.
    #[error(
        "the modules in `{folder}` lack `{name}`, which the virtual machine needs; take the whole directory of the \
         kernel's package"
    )]
    NoModule {
        /// The module.
        name: String,
        /// The directory.
        folder: PathBuf,
    },
}

/// A kernel image of a distribution, looked at.
#[derive(Clone, Debug)]
pub struct VmImage {
    /// The image's file.
    pub vmlinuz: PathBuf,
    /// Its modules, `lib/modules/RELEASE`.
    pub modules: Option<PathBuf>,
    /// Its release, as `uname -r` prints it there.
    pub release: String,
    header: Header,
}

impl VmImage {
    /// Looks at an image: a file such as `/boot/vmlinuz-RELEASE`, or a directory that holds one and its modules, such
    /// as an unpacked package or what `skep kernels get` made.
    ///
    /// # Errors
    /// [`ImageError`] says what the file is instead.
    pub fn open(path: &Path) -> Result<VmImage, ImageError> {
        let (vmlinuz, roots) = if path.is_dir() {
            (only_image_in(path)?, vec![path.to_owned()])
        } else {
            let folder = path.parent().unwrap_or(Path::new(""));
            (path.to_owned(), vec![folder.join(".."), folder.to_owned(), PathBuf::from("/")])
        };
        let header = Header::read(&vmlinuz)?;
        let release = header.release.clone();
        let beside = vmlinuz.parent().filter(|folder| folder.join("modules.builtin").is_file());
        let modules = beside.map(Path::to_owned).or_else(|| {
            let below = roots.iter().flat_map(|root| MODULES.map(|m| root.join(m).join(&release)));
            below.into_iter().find(|folder| folder.is_dir())
        });
        Ok(VmImage { vmlinuz, modules, release, header })
    }

    /// The modules that the guest must load to be reached, unpacked, in order. None where all is built in, as far as
    /// is known: without a directory of modules, the image is taken to have them.
    pub(in super::super) fn channel_modules(&self) -> Result<Vec<(String, Vec<u8>)>, ImageError> {
        let Some(folder) = &self.modules else { return Ok(Vec::new()) };
        let modules = Modules::of(folder).in_load_order(&CHANNEL)?;
        Ok(modules.into_iter().map(|m| (m.name, m.bytes)).collect())
    }

    /// Where the kernel in the image is kept unpacked, beside it, by [`crate::get`].
    fn kept(&self) -> PathBuf {
        let mut name = OsString::from(&self.vmlinuz);
        name.push(KEPT);
        PathBuf::from(name)
    }

    /// Copies what a guest needs to a directory that [`VmImage::open`] takes: the image, its configuration and the
    /// modules of the channel, and for quicker boots the unpacked kernel.
    pub(in super::super) fn keep(&self, folder: &Path) -> Result<(), ImageError> {
        let name = |prefix: &str| format!("{prefix}-{}", self.release);
        let vmlinuz = folder.join("boot").join(name("vmlinuz"));
        copy(&self.vmlinuz, &vmlinuz)?;
        let config = self.vmlinuz.with_file_name(name("config"));
        if config.is_file() {
            copy(&config, &folder.join("boot").join(name("config")))?;
        }
        if let Some(from) = &self.modules {
            let to = folder.join(MODULES[0]).join(&self.release);
            copy(&from.join(BUILTIN), &to.join(BUILTIN))?;
            for Module { file, .. } in Modules::of(from).in_load_order(&CHANNEL)? {
                copy(&file, &to.join(file.strip_prefix(from).unwrap_or(&file)))?;
            }
        }
        let kept = VmImage { vmlinuz, modules: None, ..self.clone() };
        match self.unpack()? {
            Some(kernel) => write(&kept.kept(), &kernel),
            None => Ok(()),
        }
    }

    /// The kernel in the image as a file that QEMU starts without firmware's or the guest's unpacking; it is written
    /// to `room` unless it is kept beside the image. `None` where only the image itself can be started.
    pub(super) fn unpacked(&self, room: &Path) -> Result<Option<PathBuf>, ImageError> {
        let kept = self.kept();
        if let Ok(metadata) = kept.metadata()
            && Some(metadata.len()) == self.unpacked_length().ok()
        {
            return Ok(Some(kept));
        }
        let Some(kernel) = self.unpack()? else { return Ok(None) };
        write(room, &kernel)?;
        Ok(Some(room.to_owned()))
    }

    /// Length of the kernel in the image, which is at the payload's end in every format.
    fn unpacked_length(&self) -> io::Result<u64> {
        let (offset, length) = self.header.payload;
        let mut word = [0; 4];
        File::open(&self.vmlinuz)?.read_exact_at(&mut word, offset + length - 4)?;
        Ok(u64::from(u32::from_le_bytes(word)))
    }

    fn unpack(&self) -> Result<Option<Vec<u8>>, ImageError> {
        let unreadable = |e| ImageError::Unreadable(self.vmlinuz.clone(), e);
        let damaged = |why| ImageError::Damaged(self.vmlinuz.clone(), why);
        let (offset, length) = self.header.payload;
        let mut payload = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(LIMIT)];
        File::open(&self.vmlinuz).and_then(|f| f.read_exact_at(&mut payload, offset)).map_err(unreadable)?;
        // bzip2, LZMA and LZO are left to the image's own code.
        let Some(format) = Format::of(&payload) else { return Ok(None) };
        let wanted = self.unpacked_length().map_err(unreadable)?;
        // gzip's own last word is the length; to the others the kernel's build adds one.
        let packed = if format == Format::Gzip { &payload[..] } else { &payload[..payload.len() - 4] };
        let kernel =
            format.unpack(packed).map_err(|why| damaged(format!("its kernel does not unpack ({why})")))?;
        if kernel.len() as u64 != wanted {
            return Err(damaged(format!("its kernel unpacks to {} of {wanted} bytes", kernel.len())));
        }
        Ok(starts_by_pvh(&kernel).then_some(kernel))
    }
}

/// Copies a file, to a directory that is made where it is not there.
fn copy(from: &Path, to: &Path) -> Result<(), ImageError> {
    write(to, &fs::read(from).map_err(|e| ImageError::Unreadable(from.to_owned(), e))?)
}

fn write(to: &Path, bytes: &[u8]) -> Result<(), ImageError> {
    let made = to.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::write(to, bytes)).map_err(|e| ImageError::Unwritable(to.to_owned(), e))
}

/// Ending of the file with the unpacked kernel.
const KEPT: &str = ".unpacked";
/// `XEN_ELFNOTE_PHYS32_ENTRY`: where a kernel starts without firmware, in 32-bit mode (CONFIG_PVH).
const PHYS32_ENTRY: u32 = 18;

/// Whether QEMU can start an unpacked kernel.
fn starts_by_pvh(kernel: &[u8]) -> bool {
    let Ok(elf) = goblin::elf::Elf::parse(kernel) else { return false };
    let Some(notes) = elf.iter_note_headers(kernel) else { return false };
    notes.map_while(Result::ok).any(|note| note.n_type == PHYS32_ENTRY && note.name == "Xen")
}

/// The one image in a directory.
fn only_image_in(root: &Path) -> Result<PathBuf, ImageError> {
    let entries = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    let is_image = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        (name == "vmlinuz" || name == "bzImage" || name.starts_with("vmlinuz-"))
            && !name.ends_with(KEPT)
            && path.is_file()
    };
    let mut images: Vec<PathBuf> =
        entries(root.join("boot")).chain(entries(root.to_owned())).filter(is_image).collect();
    if images.is_empty() {
        let releases = MODULES.iter().flat_map(|m| entries(root.join(m)));
        images = releases.map(|release| release.join("vmlinuz")).filter(is_image).collect();
    }
    images.sort();
    match images.as_slice() {
        [] => Err(ImageError::Empty(root.to_owned())),
        [image] => Ok(image.clone()),
        several => {
            let names: Vec<String> = several.iter().map(|p| format!("`{}`", p.display())).collect();
            Err(ImageError::Several(root.to_owned(), names.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bzimage::tests::image;
    use super::super::modules::tests::folder_of;
    use super::*;

    const RELEASE: &str = "6.12.117+deb12-cloud-amd64";

    fn put(root: &Path, path: &str, bytes: &[u8]) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("below")).expect("made");
        fs::write(path, bytes).expect("written");
    }

    #[test]
    fn opens_files_and_directories() {
        let root = tempfile::tempdir().expect("a directory");
        let root = root.path();
        let error = VmImage::open(root).expect_err("empty").to_string();
        assert!(error.contains("holds no kernel image"), "{error}");
        let image = image(&[7; 1000]);
        put(root, &format!("lib/modules/{RELEASE}/vmlinuz"), &image);
        let fedora = VmImage::open(root).expect("an image in its modules");
        assert_eq!(fedora.release, RELEASE);
        assert!(fedora.modules.as_ref().is_some_and(|m| m.is_dir()));
        let boot = format!("boot/vmlinuz-{RELEASE}");
        put(root, &boot, &image);
        put(root, &format!("{boot}.unpacked"), b"kernel");
        for path in [root.to_owned(), root.join(&boot)] {
            let debian = VmImage::open(&path).expect("an image in boot");
            assert_eq!(debian.vmlinuz, root.join(&boot));
            assert!(debian.modules.is_some_and(|m| m.ends_with(RELEASE)));
        }
        put(root, "boot/vmlinuz-6.1", &image);
        let error = VmImage::open(root).expect_err("two").to_string();
        assert!(error.contains("vmlinuz-6.1`, `") && error.contains("name one of them"), "{error}");
        let error = VmImage::open(&root.join("none")).expect_err("none").to_string();
        assert!(error.contains("cannot be read"), "{error}");
        put(root, "cut", &image[..image.len() - 500]);
        let error = VmImage::open(&root.join("cut")).expect_err("cut").to_string();
        assert!(error.contains("is cut off"), "{error}");
    }

    #[test]
    fn keeps_what_a_guest_needs() {
        let modules = folder_of(
            &[("virtio/virtio_pci.ko", "virtio"), ("virtio/virtio.ko", ""), ("net/virtio_net.ko", "")],
            "kernel/drivers/char/virtio_console.ko\n",
        );
        let root = tempfile::tempdir().expect("a directory");
        put(root.path(), "a/vmlinuz", &image(&[7; 1000]));
        put(root.path(), &format!("a/config-{RELEASE}"), b"CONFIG_PVH=y\n");
        let image = VmImage::open(&root.path().join("a")).expect("an image");
        let image = VmImage { modules: Some(modules.path().to_owned()), ..image };
        let kept = root.path().join("kept");
        image.keep(&kept).expect("kept");
        let again = VmImage::open(&kept).expect("an image");
        assert_eq!(again.release, RELEASE);
        assert_eq!(again.channel_modules().expect("found"), image.channel_modules().expect("found"));
        assert!(kept.join(format!("boot/config-{RELEASE}")).is_file());
        let net = kept.join("lib/modules").join(RELEASE).join("kernel/drivers/net");
        assert!(!net.exists(), "drivers that no guest needs are left behind");
    }

    #[test]
    fn the_channel_needs_its_modules() {
        let modules = folder_of(&[("virtio_pci.ko", "")], "kernel/drivers/char/virtio_console.ko\n");
        let root = tempfile::tempdir().expect("a directory");
        put(root.path(), "bzImage", &image(&[7; 1000]));
        let open = VmImage::open(root.path()).expect("an image");
        assert_eq!(open.channel_modules().expect("taken to be built in"), []);
        let with = VmImage { modules: Some(modules.path().to_owned()), ..open.clone() };
        let names: Vec<String> = with.channel_modules().expect("found").into_iter().map(|m| m.0).collect();
        assert_eq!(names, ["virtio_pci"]);
        let without = VmImage { modules: Some(root.path().to_owned()), ..open };
        let error = without.channel_modules().expect_err("none").to_string();
        assert!(error.contains("lack `virtio_pci`"), "{error}");
    }

    #[test]
    fn damaged_kernels_are_named() {
        let root = tempfile::tempdir().expect("a directory");
        let open = |payload: &[u8]| {
            put(root.path(), "vmlinuz", &image(payload));
            VmImage::open(root.path()).expect("an image").unpacked(&root.path().join("room"))
        };
        assert_eq!(open(&[7; 1000]).expect("left to the image"), None);
        let mut zstd = vec![0x28, 0xb5, 0x2f, 0xfd];
        zstd.resize(200, 0xee);
        let error = open(&zstd).expect_err("junk").to_string();
        assert!(error.contains("does not unpack"), "{error}");
    }
}
