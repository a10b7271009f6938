/** What is known of the clients on this node. The one who starts the checks gives the function that looks. */

export interface InstalledClient {
  readonly runtime: 'containerd' | 'crio' | 'podman' | 'docker'
  /** The file that was installed or changed. */
  readonly path: string
  /** `edited`: somebody changed it since; `missing`: it is gone; `unreadable`: not for who looks. */
  readonly state: 'installed' | 'edited' | 'missing' | 'unreadable'
  readonly detail: string
  /** Where it sends clients, `host:port`. */
  readonly agent: string
}

/** @param init.root where the host's file system is */
export type InspectClientConfig = (init: { readonly root: string }) => Promise<readonly InstalledClient[]>
