/** Who Shoal is at a registry: what was found, wherever it stood. */

export interface Login {
  readonly username: string
  readonly password: string
}

/** A refresh token of the OAuth2 way. */
export interface IdentityToken {
  readonly identityToken: string
}

/** A registry of Amazon ECR, where the AWS SDK finds who the machine is. */
export interface EcrRegistry {
  readonly region: string
  readonly accountId: string
}

export type Credential = Login | IdentityToken | { readonly ecr: EcrRegistry }
