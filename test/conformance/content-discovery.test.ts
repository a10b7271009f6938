/**
 * Goal: lists of tags and of referrers are complete, in order and in pages, and asking for what is not there is safe. OCI
 * distribution specification, "Listing Tags" and "Listing Referrers" (end-8a, end-8b, end-12a, end-12b).
 * Method: pushed in no order, read with every combination of parameters, links followed to the end.
 */
import { describeFaces } from './faces.ts'
import { contentDiscovery } from './sections/content-discovery.ts'

describeFaces(contentDiscovery)
