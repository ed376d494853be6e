// Generated from protocol/openrpc.json by generate.js: don't edit.

/** The methods of the API, by the names that JavaScript gives them. */
export const METHODS = {
  login: "login",
  logout: "logout",
  reconnect: "reconnect",
  listAccounts: "list_accounts",
  getAccount: "get_account",
  loadRoster: "load_roster",
  loadState: "load_state",
  getContact: "get_contact",
  addContact: "add_contact",
  updateContact: "update_contact",
  removeContact: "remove_contact",
  listSubscriptionRequests: "list_subscription_requests",
  approveSubscription: "approve_subscription",
  denySubscription: "deny_subscription",
  requestSubscription: "request_subscription",
  cancelSubscription: "cancel_subscription",
  loadAvatar: "load_avatar",
  loadProfile: "load_profile",
  setAvatar: "set_avatar",
  setProfile: "set_profile",
  setPresence: "set_presence",
  getEvents: "get_events",
  getVersion: "get_version",
  discover: "rpc.discover",
};
