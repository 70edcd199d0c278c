/** What a key's value is: TOML's types, and what an annotation's text is read as. */
export type KeyType = "text" | "path" | "integer" | "flag" | "texts";

/** A key that means something here. */
export interface Key {
  readonly type: KeyType;
  readonly default: string | number | boolean | readonly string[];
  /** For `trimaran kata config` and the README: unit and range included. */
  readonly help: string;
}

/**
 * Keys by their path in the file. The names are Kata's where Kata has one; `accelerator` is ours.
 * Source: Kata's configuration-qemu.toml.
 */
export const KEYS = {
  "hypervisor.qemu.path": {
    type: "text",
    default: "qemu-system-x86_64",
    help: "a name that is looked up in PATH, or an absolute path",
  },
  "hypervisor.qemu.accelerator": {
    type: "text",
    default: "auto",
    help: "kvm, tcg, or auto: kvm where a guest really boots with it",
  },
  "hypervisor.qemu.kernel": {
    type: "path",
    default: "",
    help: "a kernel (an ELF file with a PVH entry) instead of the built image's; goes with initrd and image",
  },
  "hypervisor.qemu.initrd": { type: "path", default: "", help: "the initramfs that goes with it" },
  "hypervisor.qemu.image": { type: "path", default: "", help: "the guest's root, erofs, that goes with them" },
  "hypervisor.qemu.kernel_params": { type: "text", default: "", help: "put at the end of the kernel's command line" },
  "hypervisor.qemu.default_vcpus": {
    type: "integer",
    default: 1,
    help: "processors; below 0: as many as the host has; what the pod's limits ask for is added",
  },
  "hypervisor.qemu.default_maxvcpus": {
    type: "integer",
    default: 0,
    help: "at most that many; 0: as many as the host has",
  },
  "hypervisor.qemu.default_memory": {
    type: "integer",
    default: 512,
    help: "MiB, 128 at least; what the pod's limits ask for is added",
  },
  "hypervisor.qemu.default_maxmemory": { type: "integer", default: 0, help: "MiB at most; 0: as much as the host has" },
  "hypervisor.qemu.shared_fs": {
    type: "text",
    default: "virtio-serial",
    help: "virtio-serial: FUSE through a port, with virtiofsd behind it; Kata's virtio-fs can't be had by clones",
  },
  "hypervisor.qemu.virtio_fs_daemon": {
    type: "path",
    default: "/usr/lib/qemu/virtiofsd",
    help: "Debian's, of qemu-system-common",
  },
  "hypervisor.qemu.virtio_fs_cache": {
    type: "text",
    default: "auto",
    help: "virtiofsd's cache: none, auto (names a second, content until its time or size changes) or always",
  },
  "hypervisor.qemu.virtio_fs_extra_args": { type: "texts", default: [], help: "more arguments for virtiofsd" },
  "hypervisor.qemu.enable_debug": { type: "flag", default: false, help: "the guest's kernel says all on its console" },
  "hypervisor.qemu.enable_annotations": {
    type: "texts",
    default: ["default_vcpus", "default_memory", "kernel_params", "enable_debug"],
    help: "keys of this table that a pod's annotations may set; regular expressions, of the whole name",
  },
  "factory.enable_template": { type: "flag", default: true, help: "start machines as clones of one that has booted" },
  "factory.template_path": {
    type: "path",
    default: "",
    help: "where templates are; empty: below /run or /dev/shm, the first that is in memory",
  },
  "agent.kata.debug_console_enabled": { type: "flag", default: true, help: "trimaran kata debug may open a shell" },
  "agent.kata.dial_timeout": {
    type: "integer",
    default: 90,
    help: "seconds until the agent of a cold boot must answer",
  },
} as const satisfies Readonly<Record<string, Key>>;

/** A key's path. */
export type KeyPath = keyof typeof KEYS;

/** Keys of Kata's own file that are accepted, so that it can be taken over, and mean nothing here; and why not. */
export const IGNORED: Readonly<Record<string, string>> = {
  TypeUrl: "containerd 2.x sends its whole options table",
  "hypervisor.qemu.machine_type": "always microvm",
  "hypervisor.qemu.firmware": "microvm needs none",
  "hypervisor.qemu.firmware_volume": "microvm needs none",
  "hypervisor.qemu.machine_accelerators": "see accelerator",
  "hypervisor.qemu.seccompsandbox": "always on",
  "hypervisor.qemu.cpu_features": "all that the accelerator has",
  "hypervisor.qemu.default_bridges": "microvm has no PCI",
  "hypervisor.qemu.disable_block_device_use": "a rootfs is shared as files, whatever it is on",
  "hypervisor.qemu.block_device_driver": "always virtio-scsi",
  "hypervisor.qemu.block_device_aio": "always threads",
  "hypervisor.qemu.enable_iothreads": "never",
  "hypervisor.qemu.valid_hypervisor_paths": "annotations can't set paths",
  "hypervisor.qemu.valid_virtio_fs_daemon_paths": "annotations can't set paths",
  "hypervisor.qemu.virtio_fs_cache_size": "no DAX through a port",
  "hypervisor.qemu.virtio_fs_queue_size": "one queue of ours",
  "hypervisor.qemu.disable_nesting_checks": "a guest is booted to know",
  "hypervisor.qemu.memory_slots": "no hot-plug",
  "hypervisor.qemu.memory_offset": "no hot-plug",
  "hypervisor.qemu.disable_vhost_net": "vhost is not used",
  "hypervisor.qemu.entropy_source": "virtio-rng with the host's own",
  "factory.vm_cache_number": "templates do what a cache did",
  "factory.vm_cache_endpoint": "templates do what a cache did",
  "agent.kata.kernel_modules": "the image has what a guest needs",
  "agent.kata.enable_debug": "the agent has one level",
  "agent.kata.enable_tracing": "no tracing",
  "runtime.enable_debug": "containerd's own flag decides",
  "runtime.disable_guest_seccomp": "always so: a profile of the host's is not applied in the guest",
  "runtime.internetworking_model": "always tcfilter",
  "runtime.sandbox_cgroup_only": "always so",
  "runtime.disable_new_netns": "the network namespace is the spec's",
  "runtime.enable_tracing": "no tracing",
  "runtime.experimental": "nothing experimental",
  "runtime.create_container_timeout": "containerd has its own",
};
